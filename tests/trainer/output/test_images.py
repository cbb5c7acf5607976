"""What a model gets wrong, counted and shown."""

import numpy as np

from trainer.output import images


def outcomes(labels, predicted, confidence, mask=None, channels=1):
    labels, predicted = np.array(labels), np.array(predicted)
    pictures = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 28, 28, channels), np.uint8)
    mask = np.ones(len(labels), bool) if mask is None else np.array(mask)
    return images.outcomes(pictures, labels, mask, predicted, np.array(confidence, np.float32), classes=3)


def test_examples_are_counted_by_label_and_predicted_class_and_none_outside_of_the_mask():
    found = outcomes([0, 0, 1, 2, 2], [0, 1, 1, 0, 2], [0.9] * 5, [True, True, True, True, False])
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_the_most_confidently_wrong_come_first_also_from_several_blocks():
    found = outcomes([0, 0, 1], [0, 1, 2], [0.99, 0.5, 0.7]) + outcomes([2, 2], [0, 1], [0.6, 0.8])
    assert found.confidence.tolist() == np.array([0.8, 0.7, 0.6, 0.5], np.float32).tolist()
    assert list(zip(found.labels, found.predicted, strict=True)) == [(2, 1), (1, 2), (2, 0), (0, 1)]
    assert found.images[:, 0, 0, 0].tolist() == [1, 2, 0, 1]
    assert found.confusion.sum() == 5


def test_pictures_of_any_outcome():
    many = outcomes([0] * 100, [1] * 100, np.linspace(0.4, 1, 100))
    none = outcomes([0], [0], [1.0], channels=3)
    assert len(many.images) == images.WRONG
    for found in (many, none):
        for picture in (images.confusion_matrix(found.confusion), images.most_confidently_wrong(found)):
            assert images.png(picture).startswith(b'\x89PNG')
            assert min(picture.size) > 30
    assert min(images.confusion_matrix(np.eye(100, dtype=int)).size) > 200
