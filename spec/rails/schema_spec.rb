# frozen_string_literal: true

RSpec.describe "The tables in an application's migrations", database: :empty do
  include RailsApplication

  # What there is of the library in a database: tables, columns, conditions, indexes, types, triggers, settings.
  def structure(url = database_url)
    connection = PG.connect(url)
    connection.exec(<<~SQL).values.flatten
      SELECT concat_ws(' ', c.relkind, c.relname, c.reloptions::text, obj_description(c.oid)) FROM pg_class c
      WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'tasker%'
      UNION ALL SELECT concat_ws(' ', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull)
      FROM pg_attribute WHERE attnum > 0 AND attrelid::regclass::text LIKE 'tasker%'
      UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
      WHERE conrelid::regclass::text LIKE 'tasker%'
      UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'tasker%'
      UNION ALL SELECT concat_ws(' ', t.typname, e.enumlabel) FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
      UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
      UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE 'tasker%'
      ORDER BY 1
    SQL
  ensure
    connection&.close
  end

  # Without what pg_dump makes up each time.
  def dump_as(format)
    read(format == "ruby" ? "db/schema.rb" : "db/structure.sql").gsub(/^\\(un)?restrict .*$/, "")
  end

  def version
    in_rails("TaskerCore.client.schema_version")
  end

  it "are those of `tasker migrate`, go, and come again" do
    rails("db:migrate")
    migrated = structure
    expect(migrated).to eq(with_database { |url| structure(url) })

    rails("db:rollback", "STEP=2")
    expect(structure).to eq([])
    rails("db:migrate")
    expect(structure).to eq(migrated)
  end

  it "are there already where the command line made them" do
    TaskerCore::Client.open(TaskerCore::Configuration.new.with { |c| c.database_url = database_url }, &:migrate)
    before = structure
    rails("db:migrate")

    expect(structure).to eq(before)
  end

  %w[ruby sql].each do |format|
    it "survive a dump of the schema as #{format}, with a foreign key to them" do
      env = { SCHEMA_FORMAT: format, DUMP_SCHEMA: "1" }
      rails("db:migrate", **env)
      dumped = dump_as(format)
      rails("db:schema:dump", **env)
      expect(dump_as(format)).to eq(dumped)
      expect(dumped).not_to match(/Could not dump/)

      with_database(migrated: false) do |url|
        rails("db:schema:load", DATABASE_URL: url, **env)
        expect(structure(url)).to eq(structure)
        expect(in_rails("Order.connection.foreign_keys(:orders).map(&:to_table)", DATABASE_URL: url))
          .to eq(["tasker_tasks"])
      end
    end
  end

  it "are loaded empty in the place of those that are there" do
    rails("db:migrate", DUMP_SCHEMA: "1")
    in_rails('TaskerCore.submit("greeting")')
    rails("db:schema:load")

    expect(sql("SELECT count(*) FROM tasker_tasks")).to eq([{ "count" => "0" }])
    expect(version).to eq(1)
  end

  it "leaves a dump without them as it is" do
    FileUtils.rm(Dir[File.join(folder, "db/migrate/*")])
    rails("db:migrate", DUMP_SCHEMA: "1")

    expect(read("db/schema.rb")).not_to include("TaskerCore")
  end

  it "leave out their own types only, as later versions of Rails dump types" do
    dump = <<~RUBY
      ActiveRecord::Schema[7.1].define(version: 1) do
        # Custom types defined in this database.
        # Note that some types may not work with other database engines. Be careful if changing database.
        create_enum "tasker_task_state", ["pending"]
      %s
        create_table "orders", force: :cascade do |t|
        end

      end
    RUBY
    complete = lambda do |types|
      in_rails("TaskerCore::Internal::SchemaDump.complete(#{format(dump, types).inspect}, 1)")
    end

    expect(complete.call("")).to start_with("ActiveRecord::Schema[7.1].define(version: 1) do\n  create_table")
      .and end_with("  end\n\n  TaskerCore::Schema.load(connection, version: 1)\n\nend\n")
    expect(complete.call("  create_enum \"colour\", [\"red\"]\n"))
      .to match(/Custom types.*\n.*\n  create_enum "colour", \["red"\]\n\n  create_table/)
  end

  it "refuse a version that there is not, and a database that is newer" do
    rails("db:migrate")
    seen = in_rails(<<~RUBY)
      connection = ActiveRecord::Base.connection
      tell = lambda do |&block|
        block.call
      rescue TaskerCore::Error => e
        [e.code, e.message]
      end
      refused = [tell.call { TaskerCore::Schema.migrate(connection, version: 7) }]
      connection.execute("COMMENT ON TABLE tasker_tasks IS 'tasker_core schema 9'")
      refused << tell.call { TaskerCore::Schema.migrate(connection, version: 1) }
    RUBY

    expect(seen).to match([["invalid_argument", /version is 7, allowed is a number from 0 to 1/],
                           ["schema_mismatch", /has version 9, .*update the gem/]])
  end

  it "may be in a second database, in whose transactions tasks are submitted" do
    with_database(migrated: false) do |url|
      write("config/database.yml", <<~YAML)
        test:
          primary: { adapter: postgresql, url: "#{database_url}" }
          tasker: { adapter: postgresql, url: "#{url}", migrations_paths: db/tasker_migrate }
      YAML
      write("app/models/tasker_record.rb", <<~RUBY)
        class TaskerRecord < ActiveRecord::Base
          self.abstract_class = true
          connects_to database: { writing: :tasker }
        end
      RUBY
      FileUtils.rm(Dir[File.join(folder, "db/migrate/*")])
      FileUtils.rm(File.join(folder, "config/tasker.yml"))
      rails("generate", "tasker_core:install", "--database", "tasker", DATABASE_URL: nil)
      rails("db:migrate", DATABASE_URL: nil, DUMP_SCHEMA: "1")
      seen = in_rails(<<~RUBY, DATABASE_URL: nil)
        TaskerRecord.transaction { TaskerCore.submit("greeting"); raise ActiveRecord::Rollback }
        TaskerRecord.transaction { TaskerCore.submit("greeting") }
        ActiveRecord::Base.transaction { TaskerCore.submit("greeting"); raise ActiveRecord::Rollback }
        [TaskerCore.client.url, TaskerCore.list.size]
      RUBY

      expect(seen).to eq([url, 2])
      expect(structure).to eq([])
      expect([read("db/schema.rb"), read("db/tasker_schema.rb")])
        .to match([satisfy { |text| !text.include?("TaskerCore") }, /TaskerCore::Schema\.load/])
    end
  end
end
