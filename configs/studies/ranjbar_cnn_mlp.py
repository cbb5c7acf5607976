"""CNN and MLP x SGD and Adam x four learning rates x ReLU and sigmoid on MNIST: 32 variants, 100 epochs each.

    python -m trainer.compare --study=configs/studies/ranjbar_cnn_mlp.py
    python -m trainer.compare --study=configs/studies/ranjbar_cnn_mlp.py --study.base.epochs=10  # a tenth of the time

The paper: Mohammad Javad Ranjbar's report on handwritten digit recognition with convolutional networks and multi-layer
perceptrons in Keras (undated, its title lost). It describes what it saw; of its numbers only the count of parameters
(421,642) is in the text, so that there is no table to compare with. As there: batches of 64, 20% of the
training examples (12,000) for validation, 100 epochs, and the weights with the lowest validation loss.

What the paper leaves unsaid, and what stands in its place:

* The perceptron: 784-128-10, which is the CNN without its convolutions.
* The learning rates: 0.01 and 0.0001, which it names, 0.001 between them (Adam's default), and 0.1 for its "high
  value".
* Which validation examples: Keras takes the last 20%, here each seed draws its own.
* What "high accuracy" and "good accuracy" are: 0.95 on validation for the time to it, and 0.97 on test.

Several sentences are about one learning rate for all, as in its plots, but a reader will take them for a comparison of
the methods. They are tested both ways: setting by setting, and each method with its own best learning rate by
validation loss.

Its claims about low learning rates are claims about 100 epochs: a shorter study may answer them otherwise.

Not tested here: that perceptrons, unlike convolutional networks, "are not translation-invariant", which wants shifted
test images.
"""

import ml_collections

from configs import default

RATES = {'1e-4': 1e-4, '1e-3': 1e-3, '1e-2': 1e-2, '1e-1': 1e-1}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()

    config.base = default.get_config()
    config.base.data.validation = 12000
    config.base.model.filters = (32, 64)
    config.base.model.hidden = (128,)
    config.base.global_batch_size = 64
    config.base.epochs = 100

    config.axes = {
        'model': {'CNN': {'model': {'name': 'cnn'}}, 'MLP': {'model': {'name': 'mlp'}}},
        'optimizer': {name: {'optimizer': {'name': name}} for name in ('SGD', 'Adam')},
        'learning_rate': {name: {'optimizer': {'learning_rate': rate}} for name, rate in RATES.items()},
        'activation': {'ReLU': {'model': {'activation': 'relu'}}, 'sigmoid': {'model': {'activation': 'sigmoid'}}},
    }
    config.seeds = 10

    config.paper = ml_collections.ConfigDict()
    config.paper.reference = (
        'Mohammad Javad Ranjbar: report on handwritten digit recognition on MNIST with CNN and MLP in Keras (undated).'
    )
    config.paper.table = ()

    conclusion, rates, results = '8. Conclusion', '6. Learning Rate', '7. Results'
    cnn, mlp = {'model': 'CNN'}, {'model': 'MLP'}
    adam, sgd = {'optimizer': 'Adam'}, {'optimizer': 'SGD'}
    relu, sigmoid = {'activation': 'ReLU'}, {'activation': 'sigmoid'}
    cnn_quote = 'considering the good performance of MLP on this dataset CNN acquires better accuracy'
    slower = 'when we use SGD, it takes longer for the network to acquire high accuracy'
    adam_quote = 'Adam is better and faster'
    vanishing = (
        'the network cannot be fitted to the data at all (vanishing gradient problem) and the accuracy is very low'
    )
    setting = 'in most settings of the rest, ReLU or sigmoid and each learning rate'
    own_best = 'each at the learning rate and activation that are best by validation loss'

    config.paper.claims = (
        {
            'id': 'cnn_better_in_most_settings',
            'kind': 'mostly',
            'a': cnn,
            'b': mlp,
            'matched': ('optimizer', 'learning_rate', 'activation'),
            'quote': cnn_quote,
            'section': conclusion,
            'reading': 'in most settings of optimizer, learning rate and activation',
        },
        {
            'id': 'cnn_better_at_its_best',
            'kind': 'better',
            'a': cnn,
            'b': mlp,
            'reduce': 'best',
            'quote': cnn_quote,
            'section': conclusion,
            'reading': 'each with the optimizer, learning rate and activation that are best by validation loss',
        },
        *(
            {
                'id': f'{name.lower()}_good_accuracy',
                'kind': 'at_least',
                'a': {'model': name},
                'reduce': 'best',
                'value': 0.97,
                'quote': 'they both have good accuracy on the MNIST dataset',
                'section': '1. Introduction',
                'reading': 'a test accuracy of 0.97 or more, at its best by validation loss',
            }
            for name in ('CNN', 'MLP')
        ),
        {
            'id': 'sgd_slower_in_most_settings',
            'kind': 'mostly',
            'a': adam,
            'b': sgd,
            'matched': ('model', 'learning_rate', 'activation'),
            'metric': 'validation_accuracy',
            'target': 0.95,
            'quote': slower,
            'section': conclusion,
            'reading': f'Adam needs fewer epochs to a validation accuracy of 0.95 {setting}',
        },
        {
            'id': 'adam_better_in_most_settings',
            'kind': 'mostly',
            'a': adam,
            'b': sgd,
            'matched': ('model', 'learning_rate', 'activation'),
            'quote': adam_quote,
            'section': conclusion,
            'reading': f'a higher test accuracy {setting}',
        },
        *(
            claim
            for name in ('CNN', 'MLP')
            for claim in (
                {
                    'id': f'adam_faster_at_its_best_{name.lower()}',
                    'kind': 'faster',
                    'a': adam,
                    'b': sgd,
                    'where': {'model': name},
                    'reduce': 'best',
                    'metric': 'validation_accuracy',
                    'target': 0.95,
                    'quote': adam_quote,
                    'section': conclusion,
                    'reading': f'fewer epochs to a validation accuracy of 0.95, {own_best}',
                },
                {
                    'id': f'adam_better_at_its_best_{name.lower()}',
                    'kind': 'better',
                    'a': adam,
                    'b': sgd,
                    'where': {'model': name},
                    'reduce': 'best',
                    'quote': adam_quote,
                    'section': conclusion,
                    'reading': f'a higher test accuracy, {own_best}',
                },
            )
        ),
        {
            'id': 'relu_mostly_better',
            'kind': 'mostly',
            'a': relu,
            'b': sigmoid,
            'matched': ('model', 'optimizer', 'learning_rate'),
            'quote': 'ReLU mostly does a better job than sigmoid',
            'section': conclusion,
            'reading': 'a higher test accuracy in most settings of model, optimizer and learning rate',
        },
        {
            'id': 'relu_mostly_converges_faster',
            'kind': 'mostly',
            'a': relu,
            'b': sigmoid,
            'matched': ('model', 'optimizer', 'learning_rate'),
            'metric': 'validation_accuracy',
            'target': 0.95,
            'quote': 'In practice, networks with ReLU tend to show better convergence performance than sigmoid',
            'section': '5. Difference between ReLU and Sigmoid',
            'reading': 'fewer epochs to a validation accuracy of 0.95 in most settings',
        },
        {
            'id': 'sigmoid_vanishes_at_a_low_rate',
            'kind': 'fails',
            'a': cnn | sgd | {'learning_rate': '1e-4'} | sigmoid,
            'value': 0.2,
            'quote': 'the sigmoid function not only led to the vanishing gradient',
            'section': results,
            'reading': 'figure 22, CNN/SGD/Sig_lr_0.0001: does not learn, accuracy below 0.2 (chance: 0.1)',
        },
        {
            'id': 'sigmoid_high_loss',
            'kind': 'better',
            'a': relu,
            'b': sigmoid,
            'where': cnn | sgd | {'learning_rate': '1e-4'},
            'metric': 'test_loss',
            'quote': 'but also the model suffers from a high loss',
            'section': results,
            'reading': 'figures 21 and 22: a higher test loss than with ReLU',
        },
        {
            'id': 'relu_works_at_a_low_rate',
            'kind': 'at_least',
            'a': cnn | sgd | {'learning_rate': '1e-4'} | relu,
            'value': 0.9,
            'quote': 'the ReLU function worked fine',
            'section': results,
            'reading': 'figure 21, CNN/SGD/Relu_lr_0.0001: a test accuracy of 0.9 or more after 100 epochs',
        },
        {
            'id': 'low_rate_and_sigmoid_do_not_fit',
            'kind': 'fails',
            'a': {'learning_rate': '1e-4'} | sigmoid,
            'quantifier': 'any',
            'value': 0.2,
            'quote': vanishing,
            'section': rates,
            'reading': 'the paper says that it might: with at least one model and optimizer, accuracy below 0.2',
        },
        {
            'id': 'low_rate_is_slow',
            'kind': 'mostly',
            'a': {'learning_rate': '1e-2'},
            'b': {'learning_rate': '1e-4'},
            'where': sgd,
            'matched': ('model', 'activation'),
            'metric': 'validation_accuracy',
            'target': 0.9,
            'quote': 'If the learning rate is too small, it can cause the convergence to be very slow',
            'section': rates,
            'reading': 'SGD needs fewer epochs to a validation accuracy of 0.9 at 0.01 than at 0.0001',
        },
        {
            'id': 'high_rate_does_not_converge',
            'kind': 'fails',
            'a': {'learning_rate': '1e-1'},
            'quantifier': 'any',
            'value': 0.2,
            'quote': 'a high value of learning rate can cause the network to not converge',
            'section': conclusion,
            'reading': 'at 0.1, with at least one model, optimizer and activation: accuracy below 0.2, or diverged',
        },
        {
            'id': 'low_rate_local_minimum',
            'kind': 'mostly',
            'a': {'learning_rate': '1e-2'},
            'b': {'learning_rate': '1e-4'},
            'where': sgd,
            'matched': ('model', 'activation'),
            'metric': 'train_loss',
            'quote': 'a low learning rate can cause to only find a local minimum',
            'section': conclusion,
            'reading': 'SGD ends at a higher training loss at 0.0001 than at 0.01; why it does is not tested',
        },
        {
            'id': 'adam_with_a_big_rate',
            'kind': 'mostly',
            'a': {'learning_rate': '1e-3'},
            'b': {'learning_rate': '1e-1'},
            'where': adam,
            'matched': ('model', 'activation'),
            'metric': 'test_loss',
            'quote': 'Adam and a big learning rate ... the network might not be able to find the global minimum',
            'section': rates,
            'reading': 'Adam has a lower test loss at 0.001 than at 0.1, in most settings',
        },
    )
    return config
