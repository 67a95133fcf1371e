"""What an estimate is about: model, formats, layout, device, engine; profiles and configurations.

layers          kinds of layers: attention and MLP variants
spec            an architecture made of kinds of layers, and a workload
weights         the matrices of a model, and exact parameter counts
dtypes          number formats, and which part of a model has which
layout          how a model is divided among devices, and one device's share
device          a device: peaks, bandwidth, memory, links
engine          what runs a model on a device, and how fast
profiles        devices, engines and models from TOML files
models          a model by a profile's name, a `config.json` or a Hugging Face id
config_json     a `config.json` read field by field
configurations  the reader of each kind of `config.json`, and the model that it gives
architectures   from a `config.json` to a `ModelSpec`, a reader a family
system          device, engine, formats and layout together: what runs a model
request         a model and a workload on a system, with defaults filled in
"""
