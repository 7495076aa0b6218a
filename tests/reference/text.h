// A command in one line, for the history of a failure.
#pragma once

#include "model/command.h"

#include <string>

namespace sluice::reference {

std::string text(const model::Command& command);

}  // namespace sluice::reference
