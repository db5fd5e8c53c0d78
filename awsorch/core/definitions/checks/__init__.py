"""The rules of RegisterTaskDefinition, one noun a file. Each function raises Refusal or returns nothing."""
