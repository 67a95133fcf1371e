"""The cost of a request: FLOPs, bytes, seconds and memory; and the published cost model.

operator        one operator: FLOPs, bytes and kernel
kernels         a model on one device, a pass over it, and the kernels of its layers
attention       the operators of a layer's attention
mlp             the operators of a layer's MLP; how many experts are reached
communication   exchanges between devices
forward_pass    all operators of a pass, in order
roofline        seconds of one operator on a device under an engine
growth          attention that grows from step to step, and waiting for the host
latency         seconds of a prefill and of all decode steps
activations     the largest set of activations that is alive at once
memory          bytes, part by part; the largest batch and context that fit a device
estimate        the whole request, and increases over a baseline
published       the paper's own cost model, as published
published_gaps  where it differs from a real run, with the size of each difference
"""
