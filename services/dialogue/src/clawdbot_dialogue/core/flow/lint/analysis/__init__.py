"""Analyses of a flow's state graph and of its guards, which the checks build on."""
