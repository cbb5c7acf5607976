"""From numbers to conclusions. Of our other packages it needs `seedwise` and the table of metrics (`trainer.metrics`)."""
