# frozen_string_literal: true

module TaskerCore
  class Client
    # What concerns the database as a whole rather than one task.
    module Administration
      # @return [Array<Hash{String => Object}>] workers that run or ran lately: worker_id, host, pid, state, queues,
      #   concurrency, started_at, heartbeat_at, claims; frozen
      def workers
        parse(native.workers)
      end

      # @return [Array<Hash{String => Object}>] templates in the database: template_id, namespace, name, version,
      #   description, steps; frozen
      def templates
        parse(native.templates)
      end

      # What two versions of a template say differently, and what that means for the tasks of the first one that have
      # not ended. These tasks go on with the first version; what they need of it must be there until they have ended.
      #
      # @param name [String, nil] of the template. Default nil: that of `template`.
      # @param from [String, nil] the first version. Default nil: the highest one in the database.
      # @param to [String, nil] the second version
      # @param template [TaskTemplate, nil] what the second version is, instead of `to`
      # @param namespace [String] of the template. Default "default".
      # @return [Hash{String => Object}] namespace, name, from, to, same, diff (keys, added, removed, renamed, changed,
      #   edges_added, edges_removed, reordered) and live (count, oldest_at, task_ids, broken: steps that some of the
      #   tasks have still to run, and that the second version lacks or has executed by another handler); frozen
      # @raise [UnknownTemplate]
      # @raise [InvalidArgument]
      # @example
      #   client.compare_templates("order_fulfilment", from: "1.0.0", to: "1.1.0")["diff"]["added"]
      def compare_templates(name = nil, from: nil, to: nil, template: nil, namespace: "default")
        two = template ? { namespace: template.namespace, name: template.name } : { namespace: namespace, name: name }
        two = two.transform_values { |text| Internal::Check.text(text, "name") }
        two[:from] = Internal::Check.optional_text(from, "from")
        two[:to] = Internal::Check.optional_text(to, "to")
        two[:template] = template.definition if template
        parse(native.compare_templates(JSON.generate(two, max_nesting: false)))
      end

      # Recomputes every counter and state from scratch and compares; and warns of what makes the engine slow.
      #
      # @param old_transaction [Numeric] seconds that a transaction may be open without a warning. Default 60.
      # @return [Hash{String => Object}] ok (no check found anything), checks (each name, ok, found, detail), warnings
      #   (each name, detail, advice, facts), handlers (of templates whose tasks have not all ended: namespace, name,
      #   version, handler_class, step, the first that it executes); frozen
      # @raise [InvalidArgument]
      # @example
      #   client.doctor["ok"] # => true
      def doctor(old_transaction: 60)
        parse(native.doctor((Internal::Check.age(old_transaction, "old_transaction") * 1000).round))
      end

      # Deletes tasks that ended long ago, with all that is recorded of them, in small batches that hold up no worker.
      # Deletes the records of workers that ended more than a day ago as well.
      #
      # @param older_than [Numeric, nil] seconds since their end for complete, cancelled and resolved tasks; nil keeps
      #   all of them. Default nil.
      # @param errors_older_than [Numeric, nil] the same for tasks in error. Default nil.
      # @param dry_run [Boolean] delete nothing and count. Default false.
      # @yieldparam so_far [Hash{String => Object}] about once a second, what was deleted so far; frozen
      # @return [Hash{String => Object}] tasks, steps (of these tasks), rows (in tables other than that of the tasks),
      #   workers, dry_run; frozen
      # @raise [InvalidArgument]
      # @example
      #   client.prune(older_than: 30 * 86_400)["tasks"] # => 1204
      def prune(older_than: nil, errors_older_than: nil, dry_run: false)
        pruning = { older_than_s: older_than && Internal::Check.age(older_than, "older_than"),
                    errors_older_than_s: errors_older_than &&
                                         Internal::Check.age(errors_older_than, "errors_older_than"),
                    dry_run: Internal::Check.flag(dry_run, "dry_run") }
        total = { "tasks" => 0, "steps" => 0, "rows" => 0, "workers" => 0, "dry_run" => pruning[:dry_run] }
        loop do
          some = parse(native.prune(JSON.generate(pruning)))
          total = total.merge(some.slice("tasks", "steps", "rows", "workers")) { |_, sum, more| sum + more }.freeze
          return total unless (pruning[:from] = some["next"])

          yield total if block_given?
        end
      end

      # Brings the schema to a version.
      #
      # @param version [Integer, nil] nil: the latest; a lower one than the present undoes. Default nil.
      # @return [Hash{String => Object}] from, to, applied, latest; frozen
      # @raise [SchemaMismatch] the database is newer than this library
      # @example
      #   client.migrate["to"] # => 1
      def migrate(version: nil)
        parse(native.migrate(version))
      end

      # @return [Integer] version of the schema in the database; 0: nothing there
      def schema_version
        native.schema_version
      end

      # Records a template, as {Client#submit} and {Worker#start} do by themselves.
      #
      # @param template [TaskTemplate]
      # @return [Integer] its id; the same for the same template
      # @raise [InvalidArgument] no {TaskTemplate}
      # @raise [TemplateConflict] the database has another one under this namespace, name and version
      # @example
      #   client.register(template)
      def register(template)
        unless template.is_a?(TaskTemplate)
          Internal::Check.refuse("template", template, "a TaskTemplate, as TaskerCore.define returns it")
        end
        @connection.register(template)
      end
    end
  end
end
