"""The agent loop: graph, nodes, conversation, context budget."""
