"""The machine under the page: certificates, memory, sticks, power."""
