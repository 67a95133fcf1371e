"""Streams against parameters, and against other methods of spending compute.

cost_models     memory and latency of requests, by our cost model or the published one
claims          the paper's claims in every reading, and in fewer bits
noise           how far timings of kernels repeat, and what that leaves of a ratio
claims_on_gpus  the claims by measured kernels, on each device and engine
comparison      one streamed model beside the model of equal loss, or other methods
crossover       where the advantage of streams ends
methods         methods of spending compute, and what each costs
"""
