"""The trainer of the demo model pack.

Tiny networks are trained on drawn scenes and written in the file layout and input/output contract of the real models,
as a hub cache, so that the loaders of imgutils, open_clip and pyiqa read them unmodified:

    python -m dataset_pipeline.demo.training --out resources/demo_models

Nothing in the pipeline imports this package at run time; it alone needs ``onnx``, a development dependency.

Everything is drawn from the seed. On one machine with one version of torch the bytes repeat; across versions or
processors floating-point sums may differ, so the tests assert accuracy floors, never bytes.
"""
