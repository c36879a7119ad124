-- Caller: registration.
INSERT INTO tasker_task_namespaces (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
