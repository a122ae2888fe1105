"""The page: what the practitioner and the family see of the kit, in a browser.

`web_ui.app` puts the rooms together; `web_ui.access` stands in front of all of them. Each room is
one module with one `blueprint(parts)`.
"""
