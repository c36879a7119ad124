-- Caller: a worker that is given a connection of the application's. The tables of one search_path in one database of one server.
SELECT (SELECT system_identifier FROM pg_control_system()) || ' '
       || (SELECT oid FROM pg_database WHERE datname = current_database()) || ' '
       || 'tasker_recorded_ends'::regclass::oid AS "identity!"
