"""What one request costs: FLOPs, bytes, seconds and memory; and the published model.

operator        one operator: FLOPs, bytes and kernel
kernels         a model on one device, and the operators of a pass over it
attention       the operators of a layer's attention
mlp             the operators of a layer's MLP; how many experts are reached
communication   what devices exchange
forward_pass    all operators of a pass, in order
roofline        seconds of one operator on a device under an engine
latency         seconds of a prefill and of all decode steps
activations     the largest set of tensors that is alive at once
memory          bytes, part by part; what fits a device
estimate        the whole request, and increases over a baseline
published       the paper's own cost model, as published
published_gaps  where it differs from a real run, each with its size
"""
