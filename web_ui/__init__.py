"""The page: what the practitioner and the family see of the kit, in a browser.

`web_ui.app` puts it together; `web_ui.session.access` stands in front of all of it. What is asked
for is answered in `pages`, a module with one `blueprint(parts)` for each of them.
"""
