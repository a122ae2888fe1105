"""The page: what the practitioner and the family see of the kit, in a browser.

`web_ui.app` puts it together; every request passes `web_ui.session.access` first. The modules of
`pages` answer; `parts()` gives their views the parts of their app.
"""
