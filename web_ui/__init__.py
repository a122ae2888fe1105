"""The page: what the practitioner and the family see of the kit, in a browser.

`web_ui.app` puts it together; `web_ui.session.access` stands in front of all of it. What is asked
for is answered in `pages`, a module each, whose views have the parts of their app from `parts()`.
"""
