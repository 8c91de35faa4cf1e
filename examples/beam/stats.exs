# Serves the figures of this Erlang VM over HTTP as JSON, in the shape of KomachiHeartbeat's
# BeamVital, for the json plugin:
#
#   elixir stats.exs --port 4000 &
#   saba plugin json -url http://localhost:4000/ops/stats -prefix beam
#
# It needs nothing but Elixir 1.12 or newer. An application would start Sampler under its own
# supervisor and answer from its own router; Beam and Json stay as they are.
#
# --port PORT        0 (a free one) unless given; the first line on stdout says which
# --every SECONDS    between two samples; 60 unless given
#
# context_switches, gc, io, reductions and scheduler_usage are of the time between the last two
# samples, the first four per minute. Before the second sample they are not known, and left
# out: totals since the start of the VM are not a minute's figure. The rest is of now.

defmodule Beam do
  @moduledoc "Figures of the VM."

  @doc "What counts up, and when it was read in native time units."
  def totals do
    {switches, 0} = :erlang.statistics(:context_switches)
    {collections, words, 0} = :erlang.statistics(:garbage_collection)
    {{:input, input}, {:output, output}} = :erlang.statistics(:io)
    {reductions, _since_last} = :erlang.statistics(:reductions)

    %{
      at: :erlang.monotonic_time(),
      counters: %{
        context_switches: switches,
        gc: %{count: collections, words_reclaimed: words},
        io: %{in: input, out: output},
        reductions: reductions
      },
      # {id, active, total} of each; those after the first so many run dirty work.
      schedulers:
        for {id, active, total} <- :erlang.statistics(:scheduler_wall_time),
            id <= :erlang.system_info(:schedulers) do
          {id, active, total}
        end
        |> Enum.sort()
    }
  end

  @doc "What happened between two readings of totals; %{} when there are not two."
  def changes(nil, _), do: %{}

  def changes(older, newer) do
    seconds = :erlang.convert_time_unit(newer.at - older.at, :native, :microsecond) / 1_000_000

    older.counters
    |> per_minute(newer.counters, seconds)
    |> Map.put(:scheduler_usage, usage(older.schedulers, newer.schedulers))
  end

  defp per_minute(old, new, seconds) when is_map(old) do
    Map.new(old, fn {key, value} -> {key, per_minute(value, new[key], seconds)} end)
  end

  defp per_minute(old, new, seconds), do: round((new - old) * 60 / seconds)

  # The share of time, 0 to 1, that each scheduler was active.
  defp usage(older, newer) do
    for {{id, active0, total0}, {id, active1, total1}} <- Enum.zip(older, newer),
        total1 > total0,
        into: %{} do
      {id, (active1 - active0) / (total1 - total0)}
    end
  end

  @doc "What is now. Memory is in bytes."
  def now do
    %{
      memory: %{
        atom: :erlang.memory(:atom_used),
        binary: :erlang.memory(:binary),
        code: :erlang.memory(:code),
        ets: :erlang.memory(:ets),
        processes: :erlang.memory(:processes_used)
      },
      port_count: :erlang.system_info(:port_count),
      process_count: :erlang.system_info(:process_count),
      run_queue: :erlang.statistics(:run_queue)
    }
  end
end

defmodule Sampler do
  @moduledoc "Keeps the last two readings of totals."
  use GenServer

  def start_link(options), do: GenServer.start_link(__MODULE__, options, name: __MODULE__)

  @doc "The figures for an answer."
  def figures, do: Map.merge(GenServer.call(__MODULE__, :changes), Beam.now())

  @impl true
  def init(options) do
    # Until this is on, the VM does not measure its schedulers. It stays on while this process lives.
    :erlang.system_flag(:scheduler_wall_time, true)
    state = Map.merge(%{on_second: fn -> :ok end}, Map.new(options))
    {:ok, Map.merge(state, %{older: nil, newer: nil}), {:continue, :sample}}
  end

  @impl true
  def handle_continue(:sample, state), do: {:noreply, sample(state)}

  @impl true
  def handle_info(:sample, state), do: {:noreply, sample(state)}

  @impl true
  def handle_call(:changes, _from, state),
    do: {:reply, Beam.changes(state.older, state.newer), state}

  defp sample(state) do
    Process.send_after(self(), :sample, state.every)
    next = %{state | older: state.newer, newer: Beam.totals()}
    if state.newer != nil and state.older == nil, do: state.on_second.()
    next
  end
end

defmodule Json do
  @moduledoc "Writes maps of maps and numbers: all that there is here."

  def encode(map) when is_map(map) do
    members =
      map
      |> Enum.sort()
      |> Enum.map_join(",", fn {key, value} -> ~s("#{key}":) <> encode(value) end)

    "{" <> members <> "}"
  end

  def encode(number) when is_integer(number), do: Integer.to_string(number)
  def encode(number) when is_float(number), do: Float.to_string(number)
end

defmodule Web do
  @moduledoc "One request a connection, as much HTTP as two pages need."

  # How long a client may take, in milliseconds.
  @patience 5_000

  def listen(port) do
    :gen_tcp.listen(port, [
      :binary,
      ip: {127, 0, 0, 1},
      packet: :http_bin,
      packet_size: 8_192,
      active: false,
      reuseaddr: true
    ])
  end

  def accept(listener) do
    {:ok, socket} = :gen_tcp.accept(listener)

    # A process for each, so that a slow client keeps nobody waiting.
    {:ok, pid} =
      Task.start(fn ->
        receive do
          :go -> serve(socket)
        end
      end)

    :ok = :gen_tcp.controlling_process(socket, pid)
    send(pid, :go)
    accept(listener)
  end

  defp serve(socket) do
    with {:ok, {:http_request, method, {:abs_path, path}, _version}} <-
           :gen_tcp.recv(socket, 0, @patience),
         :ok <- skip_headers(socket, 100) do
      :gen_tcp.send(socket, answer(method, path |> String.split("?") |> hd()))
    end

    :gen_tcp.close(socket)
  end

  defp skip_headers(_socket, 0), do: :error

  defp skip_headers(socket, left) do
    case :gen_tcp.recv(socket, 0, @patience) do
      {:ok, :http_eoh} -> :ok
      {:ok, {:http_header, _, _, _, _}} -> skip_headers(socket, left - 1)
      _ -> :error
    end
  end

  defp answer(:GET, "/ops/stats"),
    do: response("200 OK", "application/json", Json.encode(Sampler.figures()))

  defp answer(:GET, "/ops/heartbeat"),
    do: response("200 OK", "text/plain; charset=utf-8", "heartbeat:ok")

  defp answer(_method, _path), do: response("404 Not Found", "text/plain; charset=utf-8", "")

  defp response(status, type, body) do
    [
      "HTTP/1.1 #{status}\r\ncontent-type: #{type}\r\ncontent-length: #{byte_size(body)}\r\n",
      "cache-control: no-store\r\nconnection: close\r\n\r\n",
      body
    ]
  end
end

usage = "usage: elixir stats.exs [--port PORT] [--every SECONDS]"

{options, rest, bad} = OptionParser.parse(System.argv(), strict: [port: :integer, every: :float])

every = round(1_000 * Keyword.get(options, :every, 60.0))
port = Keyword.get(options, :port, 0)

if rest != [] or bad != [] or every < 1 or port not in 0..65_535 do
  IO.puts(:stderr, usage)
  System.halt(2)
end

case Web.listen(port) do
  {:ok, listener} ->
    {:ok, port} = :inet.port(listener)
    IO.puts("http://127.0.0.1:#{port}/ops/stats")

    {:ok, _} =
      Sampler.start_link(
        every: every,
        on_second: fn -> IO.puts("the first interval is over: all figures are there") end
      )

    Web.accept(listener)

  {:error, reason} ->
    IO.puts(:stderr, "stats.exs: listen on port #{port}: #{:inet.format_error(reason)}")
    System.halt(1)
end
