"""Loss: the scaling law, and the parameter-scaled model of equal loss.

scaling_law  loss(N, P), its inverse, its fit, and intervals
minimiser    fits of many laws at once
runs         training runs that a law is fitted on
family       models of one shape and of other sizes
equal_loss   the parameter-scaled model of equal loss
"""
