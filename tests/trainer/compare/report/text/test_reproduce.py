"""The docstring of a study's file on the page of its report."""

from trainer.compare.report.text import reproduce


def test_a_docstring_reads_as_text():
    found = reproduce.as_html('Title.\n\n    the command\n\nWords `code` & more.\n\n* one\n  long\n* two\n')
    assert found.replace('\n', '') == (
        '<p>Title.</p><pre><code>the command</code></pre><p>Words <code>code</code> &amp; more.</p>'
        '<ul><li>one  long</li><li>two</li></ul>'
    )


def test_a_docstring_brings_no_markup_of_its_own():
    found = reproduce.as_html('<script>x</script> [a](javascript:b) ![c](d) <e@f.g> <https://h>\n\n<img src=i>')
    for tag in ('<script', '<a', '<img', 'href'):
        assert tag not in found
    assert '&lt;script&gt;x&lt;/script&gt;' in found


def test_a_title_says_what_is_compared():
    assert reproduce.title_of('Two x three on MNIST: 6 variants.') == 'Two × three'
