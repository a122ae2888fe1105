"""The sender: takes sealed files to the service, surely and once, and brings back its answers.

It has a network and nothing else: no key, no camera, nothing in clear. No other program imports
it.
"""
