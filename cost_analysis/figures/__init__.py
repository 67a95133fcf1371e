"""Figures: the numbers that each shows, how it is drawn, and its caption.

style           fonts, colours, file formats, and words that captions share
law             Figures 2 and 3 of the paper: loss over parameters and streams
costs           Figure 4 of the paper, and what methods of spending compute cost
crossover_map   where streams add less than parameters, over batch and prompt
claims_on_gpus  ratios of latency on measured devices, beside the paper's
breakdown       memory and time by part of the model
heat_map        one column of a sweep over two of its axes
plan            loss against cost, and throughput against speed
measured        measured ratios, and predicted against measured times

Importing one loads matplotlib.
"""
