"""What kube-apiserver checks of a CEL rule before it accepts a CRD: syntax, types, and the worst-case cost.

The CEL library evaluates rules, but neither checks types against a schema nor estimates costs.
"""
