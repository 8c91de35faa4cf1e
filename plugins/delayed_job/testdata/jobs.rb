# Does what each line of stdin says with a real delayed_job, and answers each with a line.
require "logger"
require "active_record"
require "delayed_job_active_record"

ActiveRecord::Base.establish_connection(ENV.fetch("DATABASE_URL"))
Delayed::Worker.logger = Logger.new(nil)
Delayed::Worker.destroy_failed_jobs = false

class Fine
  def perform; end
end

class Again
  def perform = raise("again")
end

class Never < Again
  def max_attempts = 1
end

def enqueue(job, **options) = Delayed::Job.enqueue(job.new, **options)

$stdout.sync = true
$stdin.each_line(chomp: true) do |line|
  case line
  when "create"
    ActiveRecord::Schema.verbose = false
    ActiveRecord::Schema.define do
      create_table :delayed_jobs do |t|
        t.integer :priority, default: 0, null: false
        t.integer :attempts, default: 0, null: false
        t.text :handler, null: false
        t.text :last_error
        t.datetime :run_at
        t.datetime :locked_at
        t.datetime :failed_at
        t.string :locked_by
        t.string :queue
        t.timestamps null: true
      end
    end
  when "enqueue"
    3.times { enqueue(Fine) }
    2.times { enqueue(Fine, queue: "mail.out") }
    enqueue(Fine, queue: "later", run_at: Time.now + 3600)
    enqueue(Fine, queue: "old", run_at: Time.now - 600)
    enqueue(Again)
    enqueue(Never, queue: "bad")
  when "work"
    Delayed::Worker.new(quiet: true).work_off(100)
  when "lock"
    enqueue(Fine, queue: "mail.out")
    Delayed::Job.reserve(Delayed::Worker.new(quiet: true)) or raise "nothing to reserve"
  when "grant" # only PostgreSQL needs it: the other grants what is not there yet
    Delayed::Job.connection.execute("CREATE USER watcher PASSWORD 'topsecret'")
    Delayed::Job.connection.execute("GRANT SELECT ON delayed_jobs TO watcher")
  when "grant sequence"
    Delayed::Job.connection.execute("GRANT SELECT ON delayed_jobs, delayed_jobs_id_seq TO watcher")
  when "truncate"
    Delayed::Job.connection.execute("TRUNCATE delayed_jobs")
  end
  puts "done"
end
