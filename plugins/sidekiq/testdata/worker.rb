# The jobs of the test, and what it enqueues when it is run by itself.
require "sidekiq"

def tell(list, what)
  Sidekiq.redis { |c| c.lpush(list, what) }
end

# The handlers are called when a failed job is in its place.
Sidekiq.configure_server { |c| c.error_handlers << ->(e, _) { tell("test:failed", e.message) } }

class Fine
  include Sidekiq::Worker
  def perform(name) = tell("test:done", name)
end

class Again
  include Sidekiq::Worker
  sidekiq_options retry: 5
  sidekiq_retry_in { 3600 }
  def perform = raise("again")
end

class Never < Again
  sidekiq_options retry: 0
end

class Long
  include Sidekiq::Worker
  sidekiq_options queue: "mailers"
  def perform
    tell("test:started", "long")
    Sidekiq.redis { |c| c.brpop("test:gate") }
  end
end

if $PROGRAM_NAME == __FILE__
  4.times { |i| Fine.perform_async(i.to_s) }
  Again.perform_async
  Never.perform_async
  2.times { Long.perform_async }
  3.times { Fine.perform_in(3600, "later") }
  # Nobody works on these.
  Fine.set(queue: "low.prio").perform_async("x" * 1000)
  Fine.set(queue: "low.prio").perform_async("y")
end
