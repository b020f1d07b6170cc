"""Sparkplug B 3.0 as a Host Application: payloads, sessions of edge nodes, commands, the host's own STATE.

Nothing in here waits, reads a clock or talks to a broker: messages and times come in, readings and messages to send
come out.
"""
