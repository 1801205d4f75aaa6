"""The expression language of conditions: parsed within limits, evaluated within limits, on JSON values only."""
