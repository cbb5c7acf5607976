"""Networks that shipped configs use and the package does not know: each is a model from a file, as a user's would be."""
