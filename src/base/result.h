// Result<T> and Error for the layers below the public headers; the types are the public ones, so
// that an error keeps its words from the core to the user's screen.
#pragma once

#include <sluice/error.h>  // IWYU pragma: export
