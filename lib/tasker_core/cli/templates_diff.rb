# frozen_string_literal: true

require_relative "command"
require_relative "format"
require_relative "task_report"

module TaskerCore
  class CLI
    # `tasker templates diff`: what changes from one version of a template to another, and for which tasks.
    class TemplatesDiff < Command
      NAME = "templates diff"
      SUMMARY = "compare two versions of a template; say which tasks a change breaks"
      ARGUMENTS = %w[NAME|FILE [A] [B]].freeze
      DETAILS = <<~TEXT
        With NAME A B both versions are in the database. With a YAML file the second version is what the file says, and the
        first one is A, or the highest in the database.

        Tasks go on with the version that they were made from. Those of the first version that have not ended are counted,
        and with them the steps that they have still to run and that the second version lacks or has executed by another
        handler: the old handlers must stay until these tasks have ended. Exit status 1 when there are such steps.

        A step that was removed and one that was added with the same handler, when no other such step has it, are taken for
        one that was renamed.
      TEXT
      EXAMPLES = ["tasker templates diff order_fulfilment 1.0.0 1.1.0",
                  "tasker templates diff config/tasker/order.yaml",
                  "tasker templates diff order_fulfilment 1.0.0 1.1.0 --json | jq .diff.removed"].freeze

      # Why a step breaks => how it is said.
      WHY = { "removed" => "which is not in %<to>s", "renamed" => "which has another name in %<to>s",
              "handler_changed" => "which has another handler in %<to>s" }.freeze
      # Characters of a value at most.
      VALUE_WIDTH = 60

      # Writes the differences.
      #
      # @param subject [String] name of a template, or path of a YAML file
      # @param first [String, nil] a version
      # @param second [String, nil] a version
      # @return [Integer] exit status
      def call(subject, first = nil, second = nil)
        report = file?(subject) ? with_file(subject, first, second) : with_versions(subject, first, second)
        json? ? output.json(report) : show(report)
        report["live"]["broken"].empty? ? OK : FAILED
      end

      private

      def define_options(parser)
        parser.on("--namespace NAME", "namespace of the template (default: default)")
        json_option(parser)
      end

      def file?(subject)
        subject.end_with?(".yaml", ".yml")
      end

      def with_file(path, first, second)
        refuse("unexpected argument #{second.inspect} beside a file") if second
        refuse("--namespace does not go with a file, which says it") if options[:namespace]
        template = TaskTemplate.load_file(path)
        connected { |client| client.compare_templates(template: template, from: first) }
      end

      def with_versions(name, first, second)
        refuse("missing B, the second version") unless second
        namespace = options.fetch(:namespace, "default")
        connected { |client| client.compare_templates(name, from: first, to: second, namespace: namespace) }
      end

      def show(report)
        title = TaskReport.template_name(*report.values_at("namespace", "name", "from"))
        output.line(output.style.bold("#{title} -> #{Format.clean(report["to"])}"))
        report["same"] ? output.line("  nothing differs") : show_diff(report["diff"])
        show_live(report)
      end

      def show_diff(diff)
        diff["keys"].each { |key| output.line("  #{changed(key)}") }
        show_steps(diff)
        diff["edges_added"].each { |edge| added("edge #{edge.join(" -> ")}") }
        diff["edges_removed"].each { |edge| removed("edge #{edge.join(" -> ")}") }
        output.line("  ~ steps, or the parents of one, stand in another order") if diff["reordered"]
      end

      def show_steps(diff)
        diff["added"].each { |step| added(words_of(step)) }
        diff["removed"].each { |step| removed(words_of(step)) }
        diff["renamed"].each { |step| output.line(Format.clean("  > step #{step["from"]} is probably #{step["to"]}")) }
        diff["changed"].each { |step| show_step(step) }
      end

      def words_of(step)
        "step #{step["name"]} (#{step["handler_class"]})"
      end

      def added(text)
        output.line("  #{output.style.paint("+ #{Format.clean(text)}", :green)}")
      end

      def removed(text)
        output.line("  #{output.style.paint("- #{Format.clean(text)}", :red)}")
      end

      def show_step(step)
        output.line(Format.clean("  ~ step #{step["name"]}"))
        step["keys"].each { |key| output.line("      #{changed(key)}") }
      end

      def changed(key)
        from, to = key.values_at("from", "to").map { |value| Format.cut(Format.json_line(value), VALUE_WIDTH) }
        "#{Format.clean(key["key"])}: #{from} -> #{to}"
      end

      def show_live(report)
        live = report["live"]
        count = live["count"]
        return output.line("no unfinished tasks of #{Format.clean(report["from"])}") if count.zero?

        output.line("#{Format.many(count,
                                   "unfinished task")} of #{Format.clean(report["from"])}, the oldest requested " \
                    "#{Format.age(live["oldest_at"])}: #{ids(live["task_ids"], count)}")
        live["broken"].each { |step| show_broken(step, report["to"]) }
      end

      def show_broken(step, version)
        why = format(WHY.fetch(step["why"]), to: version)
        text = "#{Format.many(step["tasks"],
                              "task")} with the step #{step["step"]} (#{step["handler_class"]}) still to " \
               "run, #{why}: #{ids(step["task_ids"], step["tasks"])}"
        output.line("  #{output.style.paint(Format.clean(text), :red)}")
      end

      def ids(shown, count)
        count > shown.size ? "#{shown.join(", ")}, ..." : shown.join(", ")
      end
    end
  end
end
