"""The store: schema, migrations, queries, changes, jobs; and hosted files."""
