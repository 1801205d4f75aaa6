"""Live views (server-sent events): who is connected, what changed, and how logs grow.

``sse`` sends; ``execution_changes`` hears what happens to executions; ``tails`` looks at logs; ``log_places`` says
where they lie.
"""
