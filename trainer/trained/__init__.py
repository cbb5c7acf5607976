"""A finished run put to use: its model for predictions (`trainer.predict`), exported, or served on a page.

`finished` reads the run's folder; `inputs` brings images, arrays and tables to the run's input; `model` computes
probabilities; `answers` prints them; `formats` exports; `server` and `page/` are the page.
"""
