"""The evidence: from committed score tables to the headline, the plots, the cards and the check of them all.

tables → headline, nyu, subgroups (pure) → cards, plots, gallery (files) → check (the same again, compared).
"""
