// The kit for handlers: what asynchronous code needs at hand, thin over Boost.Asio's coroutines.
//
//   auto [user, cart] = co_await gather(load_user(id), load_cart(id));   // all, or the first error
//   auto page = co_await with_timeout(fetch(url), 2s);
//   auto body = co_await retry(Retry().attempts(5), [&] { return fetch(url); });
//   auto pdf = co_await offload(pool, [&] { return render_pdf(order); });
//
//   awaitable.h   Awaitable<T>, sleep_for
//   task_group.h  TaskGroup, with_group: tasks with an owner that joins them
//   combine.h     gather, settle (keeps errors), race, with_timeout
//   retry.h       retry with growing pauses
//   limit.h       Semaphore, RateLimiter
//   channel.h     Channel<T>: bounded producer/consumer queue
//   offload.h     blocking work on a thread pool
//
// One promise holds for all of it: every wait can be cancelled, and what a call started has ended
// when the call returns or throws. With GCC 12, a lambda that captures owners by value needs a name
// before it stands beside co_await; the kit refuses the other form at compile time.
#pragma once

#include <sluice/async/awaitable.h>   // IWYU pragma: export
#include <sluice/async/channel.h>     // IWYU pragma: export
#include <sluice/async/combine.h>     // IWYU pragma: export
#include <sluice/async/limit.h>       // IWYU pragma: export
#include <sluice/async/offload.h>     // IWYU pragma: export
#include <sluice/async/retry.h>       // IWYU pragma: export
#include <sluice/async/task_group.h>  // IWYU pragma: export
