"""Tables of timings of kernels boiled down to curves, and how far off these are on shapes left out.

product_timings    tables of timings of matrix products: what of them is of use
product_noise      how far timings of matrix products repeat
product_curves     curves of matrix products from them, and their errors
attention_timings  timings of attention kernels, and the parts of them that a fit does not see
attention_curves   curves of attention kernels, and their errors
expert_loads       how the benchmark of experts routed tokens
expert_curves      curves of routed experts from tables of timings
exchange_curves    curves of sums over devices from tables of timings
kernel_fits        all tables fitted by one call, and the curves that are shipped
"""
