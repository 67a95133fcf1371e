"""What loss says: the scaling law, and the model of equal loss.

scaling_law  loss(N, P), its inverse, its fit, and intervals
minimiser    fits of many laws at once
runs         training runs that a law is fitted on
family       the sizes that a model could be built in
equal_loss   the parameter-scaled model of equal loss
"""
