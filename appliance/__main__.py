"""`python -m appliance` is the command `attune`, wherever its script may lie."""

from appliance.commands.programs import main

main()
