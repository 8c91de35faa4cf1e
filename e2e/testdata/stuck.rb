# A queue that is stuck: the first job waits for something that never comes, the second for the first.
require "sidekiq"

class Stuck
  include Sidekiq::Worker
  sidekiq_options queue: "product_report"
  def perform
    Sidekiq.redis { |c| c.lpush("test:started", "stuck") }
    Sidekiq.redis { |c| c.brpop("test:gate", timeout: 600) }
  end
end

2.times { Stuck.perform_async } if $PROGRAM_NAME == __FILE__
