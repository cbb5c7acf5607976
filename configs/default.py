"""Every field of a run, its default, and what it means: the one schema.

A config is this one plus what differs (`configs/cnn_nadam.py`), and each field can be set on the command line:

    python -m trainer.main --config=configs/default.py --config.epochs=2 --config.model.hidden="(512, 512)"

Fields that come in pairs, one in steps and one in epochs, need exactly one of the two; the one set on the command
line replaces the other. A field without a default (None) leaves the choice to what its comment names.
"""

import ml_collections
from ml_collections.config_dict import placeholder

#: Fields of which exactly one, or at most one, is given: the same length in epochs and in steps.
PAIRS = (('epochs', 'steps'), ('eval_every_epochs', 'eval_every_steps'))
OPTIONAL_PAIRS = (('schedule.warmup_epochs', 'schedule.warmup_steps'),)


def get_config() -> ml_collections.ConfigDict:
    """Returns the default run: a multi-layer perceptron 784-128-10 on MNIST, Adam, 5 epochs."""
    config = ml_collections.ConfigDict()

    # Seed of everything random in the run: initial weights, validation split, order, augmentation, dropout. >= 0.
    config.seed = 0
    # Length of training, in epochs or steps (one of the two). 0: evaluation only, of what the workdir holds if anything.
    config.epochs = placeholder(int)
    config.epochs = 5
    config.steps = placeholder(int)
    # Examples in one optimizer step, over all replicas and workers; a multiple of the number of replicas.
    config.global_batch_size = 128

    config.data = ml_collections.ConfigDict()
    # Any TFDS image-classification dataset (mnist, fashion_mnist, cifar10, ...), the bundled 'digits', or your own data:
    # folder:PATH (<class>/<image>, or train/<class>/<image> and test/...), huggingface:PATH (what `datasets` saved to disk),
    # PATH.npz (x_train, y_train, x_test, y_test), PATH.npy with option `labels`, PATH.csv, or FILE.py:NAME, a function of
    # (data_dir, **options) that returns {'train': (inputs, labels), 'test': ...} or tf.data; with sample weights, if any.
    config.data.name = 'mnist'
    # How your own data are read (docs/extending.md has all), such as resize=(32, 32) of a folder, label='species' of a
    # table, or the arguments of a function; test_share=0.2 is held out as the test split where the data have none.
    config.data.options = ml_collections.ConfigDict()
    # 'standard': inputs minus the mean, divided by the standard deviation, of each channel or feature of the training
    # examples. 'none': as they are, in [0, 1] for images. 'auto': 'standard' for your own numbers that are not in [0, 1].
    config.data.normalize = 'auto'
    # Folder of TFDS's prepared datasets. '': TFDS's own choice ($TFDS_DATA_DIR, else ~/tensorflow_datasets).
    config.data.data_dir = ''
    # Folder with the dataset's original files, for machines that cannot download. '': none.
    config.data.manual_dir = ''
    # Dataset to train on instead of one that is not available: 'digits' (reported loudly) or '' (the run ends, exit code 2).
    config.data.fallback = 'digits'
    # Training examples held out for validation, drawn by the seed's own stream (why: data_pipeline/sources.py). 0: none.
    config.data.validation = 0
    # Largest dataset kept in memory as uint8, in MiB; a larger one is streamed from disk.
    config.data.memory_limit_mb = 4096
    # Augmentation of training images, drawn again for each example and epoch, in this order. 0, False or '': off.
    config.data.augment = ml_collections.ConfigDict()
    # What these three move in from outside of the image is black: 0 before normalisation.
    config.data.augment.shift = 0.0  # largest shift along each axis, in pixels
    config.data.augment.rotate = 0.0  # largest rotation either way, in degrees
    config.data.augment.zoom = 0.0  # largest relative change of scale, in [0, 1): 0.1 scales by 0.9 to 1.1
    # FILE.py:NAME, a function of (images, seeds, **options) that returns images: float32 [batch, height, width, channels]
    # before normalisation, and a seed int32 [2] for each.
    config.data.augment.name = ''
    config.data.augment.options = ml_collections.ConfigDict()  # its arguments
    # Mirror left and right, with probability 1/2.
    config.data.augment.flip = False
    # Pixels of padding on each side, of which a random part of the image's size is taken. The padding is 0 after
    # normalisation: the mean of the channel if inputs are normalised, otherwise black. He et al. 2016 (4.2): flip, and 4.
    config.data.augment.crop = 0
    # Side of a square, in pixels, with its centre anywhere in the image, that is set to 0 after normalisation, as the
    # padding is. DeVries & Taylor 2017: 16 for CIFAR-10.
    config.data.augment.cutout = 0
    # Mix the examples of each pair x, y of a batch, after normalisation: a x + (1 - a) y, with a loss of a loss(x's label) +
    # (1 - a) loss(y's label), and one a for each batch, drawn from Beta(mixup, mixup). Zhang et al. 2018: 1.0 for CIFAR-10,
    # 0.2 for ImageNet. The training accuracy counts x's label. The batch of a replica must be even.
    config.data.augment.mixup = 0.0

    config.model = ml_collections.ConfigDict()
    # 'mlp' (dense layers) and 'cnn' (convolutions, each followed by 2x2 max pooling, then dense layers), which the fields
    # below describe; 'resnet' (He et al. 2016, section 4.2), 'vit' (small vision transformer), keras.applications.NAME, or
    # FILE.py:NAME: a function of (image_shape, classes, **options) that returns a Keras model with logits [batch, classes].
    config.model.name = 'mlp'
    # Of all models but mlp and cnn: the arguments of your own function; depth=20, filters=16 of resnet; patch_size=4,
    # width=64, depth=6, heads=4, mlp_width=128, dropout=0.0 of vit; weights=FILE, frozen=True, resize=(96, 96) of
    # keras.applications, and alpha=0.35 of its MobileNets.
    config.model.options = ml_collections.ConfigDict()
    # cnn: number of filters of each convolution, input side first.
    config.model.filters = (32, 64)
    # cnn: side of the square kernels, in pixels ('same' padding).
    config.model.kernel_size = 3
    # Units of each hidden dense layer, input side first; () for none.
    config.model.hidden = (128,)
    # Activation of all hidden layers: a Keras name, or 'maxout' (the larger of two linear maps: twice the weights).
    config.model.activation = 'relu'
    # Initializer of all kernels, by its Keras name; biases start at zero.
    config.model.kernel_initializer = 'glorot_uniform'
    # Batch normalisation between a hidden layer's linear map and its activation: 'none', 'every', 'first' or 'last'.
    config.model.batch_norm = 'none'
    # Dropout after a hidden layer's activation: 'none', 'every', 'first' or 'last'.
    config.model.dropout = 'none'
    # Fraction of units that dropout sets to zero, in [0, 1).
    config.model.dropout_rate = 0.5

    config.loss = ml_collections.ConfigDict()
    # categorical_crossentropy, sparse_categorical_crossentropy, kl_divergence, mean_squared_error, or FILE.py:NAME: a
    # function of (labels [batch], logits [batch, classes], **options) that returns the loss of each example, [batch].
    config.loss.name = 'categorical_crossentropy'
    # Arguments of a loss from a file.
    config.loss.options = ml_collections.ConfigDict()
    # Weight moved from the true class to all classes alike (Szegedy et al. 2016, section 7), in [0, 1).
    config.loss.label_smoothing = 0.0
    # Weight of each class in the training loss, as Keras's class_weight: the weighted sum is divided by the batch size.
    # (): none. ('balanced',): n / (classes x its examples), from the training part. Or a number for each class, such as
    # (1.0, 2.5, 1.0). train_loss is weighted then; evaluation is not.
    config.loss.class_weights = ()

    config.optimizer = ml_collections.ConfigDict()
    # Any Keras 3 optimizer by its Keras name (SGD, Adam, Nadam, RMSprop, ...), or FILE.py:NAME: a class, or a function of
    # (learning_rate, **options), that makes a Keras optimizer.
    config.optimizer.name = 'Adam'
    # Its own arguments by their Keras names, such as {'beta_1': 0.8}, or those of your class or function. One that is not
    # given has the default of Keras; one that the optimizer does not take is refused, with those that it does. A config may
    # set them without `options` too: config.optimizer.beta_1 = 0.8.
    config.optimizer.options = ml_collections.ConfigDict()
    # Base learning rate, > 0. None: the optimizer's own Keras default. What a schedule starts from.
    config.optimizer.learning_rate = placeholder(float)
    # Every optimizer of Keras takes the fields below; None: not used.
    # Gradient clipping, at most one of: each value to [-x, x], each tensor's norm, or the norm of all together to x.
    config.optimizer.clipvalue = placeholder(float)
    config.optimizer.clipnorm = placeholder(float)
    config.optimizer.global_clipnorm = placeholder(float)
    # Decoupled weight decay, per step and unit of learning rate (Loshchilov & Hutter 2019).
    config.optimizer.weight_decay = placeholder(float)
    # Exponential moving average of the weights, with its decay; it replaces the weights every n steps.
    config.optimizer.use_ema = placeholder(bool)
    config.optimizer.ema_momentum = placeholder(float)
    config.optimizer.ema_overwrite_frequency = placeholder(int)

    config.schedule = ml_collections.ConfigDict()
    # Learning rate over training: 'constant', 'cosine', 'exponential' or 'piecewise', or FILE.py:NAME: a function of
    # (progress, **options) that returns the factor of the base learning rate; progress goes from 0, after the warm-up, to 1.
    config.schedule.name = 'constant'
    # Arguments of a schedule from a file.
    config.schedule.options = ml_collections.ConfigDict()
    # Linear warm-up from 0 to the base learning rate, in steps or epochs (at most one of the two). None: no warm-up.
    config.schedule.warmup_steps = placeholder(int)
    config.schedule.warmup_epochs = placeholder(int)
    # cosine: final learning rate as a fraction of the base, reached at the end of training. >= 0.
    config.schedule.final_fraction = 0.0
    # exponential: factor by which the learning rate has changed at the end of training, continuously. > 0.
    config.schedule.decay_rate = 0.1
    # piecewise: fractions of training, rising, in (0, 1), at which the learning rate changes ...
    config.schedule.boundaries = (0.5, 0.75)
    # ... and the factors of the base learning rate from each of them on.
    config.schedule.factors = (0.1, 0.01)

    # What is measured on validation and test, besides loss and accuracy: 'top_5_accuracy', 'macro_f1', 'auc',
    # 'calibration_error', 'negative_log_likelihood', 'brier_score', or FILE.py:NAME, a function of (labels [n], logits
    # [n, classes]) that returns a number, with the line NAME.goal = 'max' or 'min' in FILE. The first named is what studies
    # rank by, and what their claims are about unless they name another.
    config.metrics = ('accuracy',)
    # Arguments of metrics from files, by their names: {'f_beta': {'beta': 2.0}}, or --config.metric_options.f_beta.beta=2.
    config.metric_options = ml_collections.ConfigDict()
    # The metric, on validation, by which the weights are chosen that are kept and tested, and which early stopping watches.
    config.monitor = 'loss'
    # Evaluate on validation every n epochs or steps (one of the two), and at the end.
    config.eval_every_epochs = placeholder(int)
    config.eval_every_epochs = 1
    config.eval_every_steps = placeholder(int)
    # The test set is opened once, after training. True opens it at each evaluation (to redo studies that did so).
    config.test_every_evaluation = False
    # Stop after n evaluations in a row without a better value of `monitor`. 0: never. Needs data.validation > 0.
    config.early_stopping_patience = 0

    # auto, one_device, mirrored, multi_worker or tpu. auto: the first there is of TPU, cluster, GPUs, CPU.
    config.strategy = 'auto'
    # Replicas over all workers. 0: one for each device. On a machine without GPUs, n splits its CPU into n devices.
    config.replicas = 0
    # Name or address of the TPU, for strategy tpu. '': what the environment names, else 'local'.
    config.tpu = ''
    # CPU threads of one worker process. 0: all cores it may use. (More threads sum in another order: the last bits differ.)
    config.threads = 0
    # float32, float64, mixed_bfloat16, or mixed_float16 (with dynamic loss scaling).
    config.precision = 'float32'
    # XLA for the training step: 'auto', 'on' or 'off'. auto: on if one device trains, except for convolutions on a CPU.
    config.jit = 'auto'
    # Most training steps in one compiled call; scalars are logged once a call.
    config.steps_per_call = 100

    # What follows decides what is kept of a run, never its result: it is left out of the config's hash.
    config.checkpoint = ml_collections.ConfigDict()
    # Save every n steps and every n seconds, whichever comes first; 0: not by that. A run also saves on SIGTERM.
    config.checkpoint.every_steps = 0
    config.checkpoint.every_seconds = 60.0
    # Checkpoints kept, the newest. >= 1.
    config.checkpoint.keep = 2

    config.tensorboard = ml_collections.ConfigDict()
    # Write TensorBoard events. None: a run does, and a study for all of its runs at once (trainer/compare/dashboard/),
    # its single runs do not.
    config.tensorboard.enabled = placeholder(bool)
    # Write the run's row of the HParams page, too.
    config.tensorboard.hparams = True
    # Show what the model gets wrong: a confusion matrix and the most confidently wrong examples, after each evaluation,
    # or, where epochs are short, as many as take 1% of the training time.
    config.tensorboard.images = True
    # Profile n steps (into tensorboard/train/plugins/profile), starting after the first compiled call. 0: none.
    config.tensorboard.profile_steps = 0
    config.lock()
    config.optimizer.unlock()  # for arguments that are set without `options`; `trainer.config.check` knows them
    return config
