// Which instruction sets were compiled in, best first, and which of them this CPU and operating system can run.
#pragma once
#include <vector>

#include "kernels.h"

namespace spiking {

struct InstructionSet {
  const Kernels* kernels;
  const char* missing;  // why it cannot be used here; empty if it can
};

std::vector<InstructionSet> instructionSets();

}  // namespace spiking
