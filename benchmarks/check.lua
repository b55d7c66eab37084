-- wrk script: POST $BODY and count only replies with status 200 whose body holds $EXPECTED; prints one JSON line.
wrk.method = "POST"
wrk.body = os.getenv("BODY")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Simple " .. os.getenv("KEY")

local expected = os.getenv("EXPECTED")
local threads = {}
right, wrong = 0, 0

function setup(thread)
  table.insert(threads, thread)
end

function response(status, headers, body)
  if status == 200 and body:find(expected, 1, true) then
    right = right + 1
  else
    wrong = wrong + 1
  end
end

function done(summary, latency, requests)
  local good, bad = 0, 0
  for _, thread in ipairs(threads) do
    good = good + thread:get("right")
    bad = bad + thread:get("wrong")
  end
  local errors = summary.errors
  io.write(string.format(
    'JSON {"right":%d,"wrong":%d,"seconds":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"p999_ms":%.3f,"socket_errors":%d}\n',
    good, bad, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, errors.connect + errors.read + errors.write + errors.timeout))
end
