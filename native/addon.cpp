// The border between JavaScript and the engine: every argument, size and bound is checked here, so that nothing that
// comes in can crash the process. The TypeScript view of this file is src/backend/native.ts.
#include <napi.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "cpu.h"
#include "stream.h"

namespace {

using spiking::Engine;
using spiking::Kernels;
using spiking::Method;
using spiking::StageKind;
using spiking::StageSpec;
using spiking::Stream;

constexpr int64_t kMaxElements = int64_t(1) << 28;
constexpr int kMaxSteps = 16'000'000;  // counts of ±127 a step stay within 32 bits
constexpr int32_t kLimit23 = 1 << 23;

[[noreturn]] void fail(Napi::Env env, const std::string& message) { throw Napi::TypeError::New(env, message); }

// Runs native work; what it throws becomes a JavaScript error.
template <class Work>
auto guarded(Napi::Env env, Work work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(env, "not enough memory for this network");
  }
}

struct Array {
  napi_typedarray_type type;
  size_t length;
  void* data;
};

Array arrayOf(Napi::Env env, Napi::Value value, const std::string& name) {
  if (!value.IsTypedArray()) fail(env, name + " must be a typed array");
  Array array{};
  napi_value buffer;
  size_t offset;
  if (napi_get_typedarray_info(env, value, &array.type, &array.length, &array.data, &buffer, &offset) != napi_ok) {
    fail(env, name + " must be a typed array");
  }
  return array;
}

template <class T>
T* arrayOf(Napi::Env env, Napi::Value value, const std::string& name, napi_typedarray_type type, size_t length) {
  const Array array = arrayOf(env, value, name);
  if (array.type != type || array.length != length) {
    fail(env, name + " has the wrong type or " + std::to_string(array.length) + " values; expected " + std::to_string(length));
  }
  return static_cast<T*>(array.data);
}

int integerOf(Napi::Env env, Napi::Value value, const std::string& name, int min, int max) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1e18;
  if (!(number >= min && number <= max) || number != double(int(number))) {
    fail(env, name + " must be a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return int(number);
}

Napi::Object objectOf(Napi::Env env, Napi::Value value, const std::string& name) {
  if (!value.IsObject()) fail(env, name + " must be an object");
  return value.As<Napi::Object>();
}

std::string textOf(Napi::Env env, Napi::Value value, const std::string& name) {
  if (!value.IsString()) fail(env, name + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

const Kernels& kernelsOf(Napi::Env env, Napi::Value value) {
  const std::string name = textOf(env, value, "the instruction set");
  for (const spiking::InstructionSet& set : spiking::instructionSets()) {
    if (name != set.kernels->name) continue;
    if (*set.missing) fail(env, "instruction set " + name + ": " + set.missing);
    return *set.kernels;
  }
  fail(env, "there is no instruction set " + name);
}

// Fields that convolutions and pools share, checked one by one.
// A map of cells and channels as it comes into a stage, and the cells that come out.
template <class Geometry>
void readMaps(Napi::Env env, const Napi::Object& object, const std::string& where, Geometry& g) {
  g.height = integerOf(env, object.Get("height"), where + "height", 1, 8192);
  g.width = integerOf(env, object.Get("width"), where + "width", 1, 8192);
  g.channels = integerOf(env, object.Get("channels"), where + "channels", 1, 65536);
  g.outHeight = integerOf(env, object.Get("outHeight"), where + "outHeight", 1, 8192);
  g.outWidth = integerOf(env, object.Get("outWidth"), where + "outWidth", 1, 8192);
  if (int64_t(g.height) * g.width * g.channels > kMaxElements) fail(env, where + "its input is too large");
  if (int64_t(g.outHeight) * g.outWidth * g.channels > kMaxElements) fail(env, where + "its output is too large");
}

template <class Geometry>
void readGeometry(Napi::Env env, const Napi::Object& object, const std::string& where, Geometry& g) {
  readMaps(env, object, where, g);
  g.size = integerOf(env, object.Get("size"), where + "size", 1, 64);
  g.stride = integerOf(env, object.Get("stride"), where + "stride", 1, 64);
}

template <class Geometry>
void readConvolutionGeometry(Napi::Env env, const Napi::Object& object, const std::string& where, Geometry& g) {
  readGeometry(env, object, where, g);
  g.filters = integerOf(env, object.Get("filters"), where + "filters", 1, 65536);
  g.padding = integerOf(env, object.Get("padding"), where + "padding", 0, 31);
  const auto fits = [&](int extent, int out) {
    return extent + 2 * g.padding >= g.size && (extent + 2 * g.padding - g.size) / g.stride + 1 == out;
  };
  if (!fits(g.height, g.outHeight) || !fits(g.width, g.outWidth)) {
    fail(env, where + "outHeight and outWidth do not follow from its input, size, stride and padding");
  }
  if (int64_t(g.outHeight) * g.outWidth * g.filters > kMaxElements) fail(env, where + "its output is too large");
}

// Channels that a filter hears.
int heardBy(const StageSpec& spec) { return spec.channelwise ? spec.channels / spec.filters : spec.channels; }

// docs/engine.md: A·Σ|W| + |B| < 2^30, so that no sum overflows. Notes the largest Σ|W|.
template <class Weight>
void checkSums(Napi::Env env, StageSpec& spec, const std::string& where) {
  const Weight* weights = static_cast<const Weight*>(spec.weights);
  const size_t perFilter = size_t(spec.size) * spec.size * heardBy(spec);
  const int64_t greatest = spec.input < 0 ? 255 : 127;
  for (int f = 0; f < spec.filters; f++) {
    int64_t sum = 0;
    for (size_t i = 0; i < perFilter; i++) {
      const int64_t w = weights[f * perFilter + i];
      sum += w < 0 ? -w : w;
    }
    spec.gain = std::max(spec.gain, sum);
    const int64_t bias = spec.bias[f];
    if (bias < -kLimit23 || bias > kLimit23 || greatest * sum + (bias < 0 ? -bias : bias) >= int64_t(1) << 30) {
      fail(env, where + "channel " + std::to_string(f) + " breaks the bounds of the integer engine");
    }
  }
}

// A stage whose fields have been read, but not yet its arrays: reading fields may run JavaScript (getters, proxies), which
// could free an array; looking into arrays runs none.
struct StageReading {
  StageSpec spec{};
  Napi::Value weights, bias, firing, startPotential, hold, sources, shifts, curve, curveFactors;
};

// The stages that come into a gather or an island, one by one; an island may stand for what comes from elsewhere.
void readInputs(Napi::Env env, const Napi::Object& object, int index, const std::string& where, StageSpec& spec,
                uint32_t fewest) {
  const Napi::Value list = object.Get("inputs");
  if (!list.IsArray()) fail(env, where + "inputs must be an array");
  const uint32_t count = list.As<Napi::Array>().Length();
  if (count < fewest || count > 64) fail(env, where + "inputs must hold " + std::to_string(fewest) + " to 64 stages");
  for (uint32_t i = 0; i < count; i++) {
    spec.inputs.push_back(integerOf(env, list.As<Napi::Array>().Get(i), where + "an input", 0, index - 1));
  }
  spec.input = -1;
}

// Wiring; the array of sources is taken later.
void readGather(Napi::Env env, const Napi::Object& object, int index, const std::string& where, StageReading& reading) {
  StageSpec& spec = reading.spec;
  readInputs(env, object, index, where, spec, 1);
  readMaps(env, object, where, spec);
  spec.scale = integerOf(env, object.Get("scale"), where + "scale", 1, 64);
  if (spec.outHeight != spec.height * spec.scale || spec.outWidth != spec.width * spec.scale) {
    fail(env, where + "outHeight and outWidth do not follow from its input and scale");
  }
  spec.filters = spec.channels;
  spec.size = spec.stride = 1;
  spec.fires = true;
  reading.sources = object.Get("sources");
  reading.shifts = object.Get("shifts");
}

// An island: what it sends is computed elsewhere and comes in by emit.
void readIsland(Napi::Env env, const Napi::Object& object, int index, const std::string& where, StageSpec& spec) {
  readInputs(env, object, index, where, spec, 0);
  spec.outHeight = integerOf(env, object.Get("outHeight"), where + "outHeight", 1, 8192);
  spec.outWidth = integerOf(env, object.Get("outWidth"), where + "outWidth", 1, 8192);
  spec.filters = spec.channels = integerOf(env, object.Get("channels"), where + "channels", 1, 65536);
  if (int64_t(spec.outHeight) * spec.outWidth * spec.channels > kMaxElements) fail(env, where + "its output is too large");
  spec.startDelay = integerOf(env, object.Get("startDelay"), where + "startDelay", 0, 126);
  spec.size = spec.stride = 1;
  spec.fires = true;
}

StageReading readStage(Napi::Env env, Napi::Value value, int index) {
  const std::string where = "stage " + std::to_string(index) + ": ";
  const Napi::Object object = objectOf(env, value, "stage " + std::to_string(index));
  StageReading reading;
  StageSpec& spec = reading.spec;
  const std::string kind = textOf(env, object.Get("kind"), where + "kind");
  if (kind == "gather") {
    spec.kind = StageKind::kGather;
    readGather(env, object, index, where, reading);
    return reading;
  }
  if (kind == "island") {
    spec.kind = StageKind::kIsland;
    readIsland(env, object, index, where, spec);
    return reading;
  }
  spec.kind = kind == "pool" ? StageKind::kPool : StageKind::kConvolution;
  const bool pool = spec.kind == StageKind::kPool;
  if (!pool && kind != "convolution") fail(env, where + "kind must be convolution, pool, gather or island");
  spec.input = integerOf(env, object.Get("input"), where + "input", pool ? 0 : -1, index - 1);
  if (pool) {
    readGeometry(env, object, where, spec);
    spec.filters = spec.channels;
    spec.offset = integerOf(env, object.Get("offset"), where + "offset", 0, 64);
    const std::string rule = textOf(env, object.Get("rule"), where + "rule");
    const char* const rules[] = {"exact", "gate:avg", "gate:exp", "gate:fir"};
    int found = 0;
    while (found < 4 && rule != rules[found]) found++;
    if (found == 4) fail(env, where + "there is no pool rule " + rule);
    spec.rule = spiking::PoolRule(found);
    const auto cellsInside = [&](int extent, int out) {
      return spec.size > spec.offset && (out - 1) * spec.stride - spec.offset < extent;
    };
    if (!cellsInside(spec.height, spec.outHeight) || !cellsInside(spec.width, spec.outWidth)) {
      fail(env, where + "a pooling window holds no real cell");
    }
    spec.fires = true;
    return reading;
  }
  readConvolutionGeometry(env, object, where, spec);
  spec.startDelay = integerOf(env, object.Get("startDelay"), where + "startDelay", 0, kMaxSteps);
  const Napi::Value fires = object.Get("fires"), channelwise = object.Get("channelwise");
  if (!fires.IsBoolean() || !channelwise.IsBoolean()) fail(env, where + "fires and channelwise must be true or false");
  spec.fires = fires.As<Napi::Boolean>();
  spec.channelwise = channelwise.As<Napi::Boolean>();
  spec.reach = integerOf(env, object.Get("reach"), where + "reach", 1, spec.filters);
  if (spec.channelwise && (!spec.fires || spec.input < 0 || spec.channels % spec.filters != 0)) {
    fail(env, where + "channelwise filters fire, hear spikes, and share the channels evenly");
  }
  const Napi::Value curve = object.Get("curve");
  if (!curve.IsUndefined()) {
    const Napi::Object table = objectOf(env, curve, where + "curve");
    const Napi::Value linear = table.Get("linear");
    if (!linear.IsBoolean()) fail(env, where + "the curve's linear must be true or false");
    spec.curveLinear = linear.As<Napi::Boolean>();
    reading.curve = table.Get("values");
    reading.curveFactors = table.Get("factors");
    spec.curveEntries = 1;
  }
  reading.weights = object.Get("weights");
  reading.bias = object.Get("bias");
  reading.firing = object.Get("firing");
  reading.startPotential = object.Get("startPotential");
  reading.hold = object.Get("hold");
  return reading;
}

// Takes the sources of a gather; each must be there.
void takeSources(Napi::Env env, std::vector<StageReading>& readings, size_t index, const std::string& where) {
  StageSpec& spec = readings[index].spec;
  spec.sources = arrayOf<int32_t>(env, readings[index].sources, where + "sources", napi_int32_array, size_t(spec.channels) * 2);
  spec.shifts = arrayOf<uint8_t>(env, readings[index].shifts, where + "shifts", napi_uint8_array, spec.channels);
  for (int channel = 0; channel < spec.channels; channel++) {
    const int input = spec.sources[2 * channel], from = spec.sources[2 * channel + 1];
    if (input < 0 || input >= int(spec.inputs.size()) || from < 0 || from >= readings[spec.inputs[input]].spec.filters) {
      fail(env, where + "a source is not there");
    }
    if (spec.shifts[channel] > (spec.scale == 2 ? 3 : 0)) fail(env, where + "a shift is out of range");
  }
}

// Takes a curve's table and factors, and proves that every product fits: a sum is below 2^38, or 2^31 where float64 takes its
// product; a factor's m is at most 2^22 (2^28 for the table's values), its shift below 63.
void takeCurve(Napi::Env env, StageReading& reading, const std::string& where) {
  StageSpec& spec = reading.spec;
  const auto table = arrayOf(env, reading.curve, where + "the curve's values");
  if (table.type != napi_int32_array || table.length < 2 || table.length > (1 << 16)) {
    fail(env, where + "the curve's values must be an Int32Array of 2 to 65536");
  }
  if (spec.startDelay > 126) fail(env, where + "a curve fires within 127 steps");
  if (!spec.fires) fail(env, where + "only layers that fire have a curve");
  spec.curveEntries = int(table.length);
  spec.curve = static_cast<const int32_t*>(table.data);
  for (int i = 0; i < spec.curveEntries; i++) {
    if (spec.curve[i] < -(1 << 20) || spec.curve[i] > (1 << 20)) fail(env, where + "a value of the curve is too large");
    const int32_t rise = i > 0 ? spec.curve[i] - spec.curve[i - 1] : 0;
    if (rise < -(1 << 14) || rise > (1 << 14)) fail(env, where + "the curve is too steep");
  }
  const size_t factors = size_t(6) * spec.filters;
  spec.curveFactors = arrayOf<int32_t>(env, reading.curveFactors, where + "the curve's factors", napi_int32_array, factors);
  for (size_t i = 0; i < factors; i++) {
    const size_t row = i / spec.filters;
    const int32_t most = row % 2 == 1 ? 62 : row == 4 ? 1 << 28 : 1 << 22;
    if (spec.curveFactors[i] < 0 || spec.curveFactors[i] > most) fail(env, where + "a factor of the curve is out of range");
  }
}

// Takes the arrays of a convolution and proves its bounds.
void takeArrays(Napi::Env env, StageReading& reading, const std::string& where) {
  StageSpec& spec = reading.spec;
  const size_t count = size_t(spec.filters) * spec.size * spec.size * heardBy(spec);
  spec.wide = arrayOf(env, reading.weights, where + "weights").type == napi_int16_array;
  if (spec.wide) spec.weights = arrayOf<int16_t>(env, reading.weights, where + "weights", napi_int16_array, count);
  else spec.weights = arrayOf<int8_t>(env, reading.weights, where + "weights", napi_int8_array, count);
  const auto integers = [&](Napi::Value value, const char* name, int rows) {
    return arrayOf<int32_t>(env, value, where + name, napi_int32_array, size_t(rows) * spec.filters);
  };
  spec.bias = integers(reading.bias, "bias", 1);
  spec.firing = integers(reading.firing, "firing", spiking::kFiringRows);
  spec.startPotential = integers(reading.startPotential, "startPotential", 1);
  if (spec.curveEntries > 0) takeCurve(env, reading, where);
  if (!reading.hold.IsUndefined()) spec.hold = integers(reading.hold, "hold", 4);
  for (int i = 0; spec.hold && i < 4 * spec.filters; i++) {
    if (spec.hold[i] < 1) fail(env, where + "a limit of hold is too small");
  }
  for (int i = 0; i < spiking::kFiringRows * spec.filters; i++) {
    // limits are at least 1, so that a neuron cannot fire up and down at once
    const int row = i / spec.filters;
    const bool isLimit = row < 2 || row == 4 || row == 5;
    if (spec.firing[i] < (isLimit ? 1 : 0)) fail(env, where + "a firing limit or amount is too small");
  }
  for (int i = 0; i < spec.filters; i++) {
    if (spec.startPotential[i] < 0 || spec.startPotential[i] > kLimit23) fail(env, where + "a start potential is out of range");
  }
  if (spec.wide) checkSums<int16_t>(env, spec, where);
  else checkSums<int8_t>(env, spec, where);
}

void checkInput(Napi::Env env, const std::vector<StageReading>& stages, size_t index, const std::string& where) {
  const StageSpec& spec = stages[index].spec;
  const bool island = spec.kind == StageKind::kIsland;
  for (int input : spec.inputs) {
    const StageSpec& source = stages[input].spec;
    const bool sameCells = source.outHeight == spec.height && source.outWidth == spec.width;
    if (!island && !sameCells) fail(env, where + "its input stage has another shape");
    if (!source.fires) fail(env, where + "its input stage does not fire");
  }
  if (spec.kind == StageKind::kGather || island) return;
  if (spec.input >= 0) {
    const StageSpec& source = stages[spec.input].spec;
    if (source.outHeight != spec.height || source.outWidth != spec.width || source.filters != spec.channels) {
      fail(env, where + "its input stage has another shape");
    }
    if (!source.fires) fail(env, where + "its input stage does not fire");
    return;
  }
  for (size_t i = 0; i < index; i++) {
    const StageSpec& other = stages[i].spec;
    if (other.isConvolution() && other.input < 0 &&
        (other.height != spec.height || other.width != spec.width || other.channels != spec.channels)) {
      fail(env, where + "two stages disagree about the image's shape");
    }
  }
}

// All fields first, then all arrays, during which no JavaScript runs until the engine has copied them.
std::vector<StageSpec> readStages(Napi::Env env, Napi::Value value) {
  if (!value.IsArray()) fail(env, "stages must be an array");
  const Napi::Array list = value.As<Napi::Array>();
  const uint32_t count = list.Length();
  if (count < 1 || count > 1000) fail(env, "stages must hold 1 to 1000 stages");
  std::vector<StageReading> readings;
  for (uint32_t i = 0; i < count; i++) readings.push_back(readStage(env, list.Get(i), int(i)));
  std::vector<StageSpec> specs;
  for (uint32_t i = 0; i < count; i++) {
    const std::string where = "stage " + std::to_string(i) + ": ";
    const bool convolution = readings[i].spec.isConvolution();
    if (convolution) takeArrays(env, readings[i], where);
    if (readings[i].spec.kind == StageKind::kGather) takeSources(env, readings, i, where);
    checkInput(env, readings, i, where);
    for (const StageSpec& other : specs) {
      if (other.isConvolution() && convolution && other.wide != readings[i].spec.wide) {
        fail(env, where + "its weights are of another width than earlier ones");
      }
    }
    specs.push_back(readings[i].spec);
  }
  return specs;
}

// How convolutions compute (plan.ts); undefined: as measured.
Method methodOf(Napi::Env env, Napi::Value value) {
  if (value.IsUndefined()) return Method::kMeasured;
  const std::string name = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  if (name == "dense") return Method::kDense;
  if (name == "every-word") return Method::kEveryWord;
  if (name == "events") return Method::kEvents;
  fail(env, "method must be dense, every-word or events");
}

// What only a stream asks of its plan.
void checkStream(Napi::Env env, const std::vector<StageSpec>& specs, int steps) {
  for (size_t i = 0; i < specs.size(); i++) {
    const StageSpec& spec = specs[i];
    const std::string where = "stage " + std::to_string(i) + ": ";
    if (spec.kind == StageKind::kPool && spec.rule != spiking::PoolRule::kExact) fail(env, where + "a stream's pools are exact");
    if (spec.isConvolution() && spec.fires && spec.curveEntries == 0 && !spec.hold)
      fail(env, where + "a stream's neurons have limits of hold");
    if (spec.fires && (spec.isConvolution() || spec.kind == StageKind::kIsland) && spec.startDelay != steps - 1) {
      fail(env, where + "a stream's layers wait for their whole input");
    }
  }
}

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Engine",
        {InstanceMethod("begin", &EngineObject::begin), InstanceMethod("run", &EngineObject::run),
         InstanceMethod("reset", &EngineObject::reset), InstanceMethod("changed", &EngineObject::changed),
         InstanceMethod("outputPotential", &EngineObject::outputPotential), InstanceMethod("multiply", &EngineObject::multiply),
         InstanceMethod("counts", &EngineObject::counts), InstanceMethod("emit", &EngineObject::emit),
         InstanceMethod("state", &EngineObject::state), InstanceMethod("statistics", &EngineObject::statistics),
         InstanceMethod("load", &EngineObject::load), InstanceMethod("close", &EngineObject::close)});
  }

  explicit EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info) {
    const Napi::Env env = info.Env();
    const Napi::Object plan = objectOf(env, info[0], "the plan");
    const Kernels& kernels = kernelsOf(env, info[1]);
    const int gamma = integerOf(env, plan.Get("gamma"), "gamma", 1, 127);
    const int blockLength = integerOf(env, plan.Get("blockLength"), "blockLength", 1, 64);
    const Method method = methodOf(env, plan.Get("method"));
    const int threads = integerOf(env, info[2], "threads", 1, 256);
    const Napi::Value stream = plan.Get("stream");
    const Napi::Value coding = plan.Get("coding");
    const Napi::Value onDemand = plan.Get("statesOnDemand");
    const bool statesOnDemand = onDemand.IsBoolean() && onDemand.As<Napi::Boolean>().Value();
    int steps = 0, hold = 0;
    if (!stream.IsUndefined()) {
      const Napi::Object object = objectOf(env, stream, "stream");
      steps = integerOf(env, object.Get("steps"), "the stream's steps", 1, 127);
      hold = integerOf(env, object.Get("hold"), "the stream's hold", 128, 256);
    }
    const bool digits = coding.IsString() && coding.As<Napi::String>().Utf8Value() == "phase";
    const std::vector<StageSpec> specs = readStages(env, plan.Get("stages"));
    if (steps == 0) {
      engine_ = guarded(
          env, [&] { return std::make_unique<Engine>(kernels, specs, gamma, blockLength, threads, method, statesOnDemand); });
      return;
    }
    checkStream(env, specs, steps);
    auto made = guarded(env, [&] { return std::make_unique<Stream>(kernels, specs, gamma, threads, steps, hold, digits); });
    stream_ = made.get();
    engine_ = std::move(made);
  }

 private:
  Engine& engine(Napi::Env env) {
    if (!engine_) fail(env, "the engine is closed");
    return *engine_;
  }

  int stageOf(Napi::Env env, Napi::Value value) { return integerOf(env, value, "stage", 0, engine(env).stageCount() - 1); }

  void begin(const Napi::CallbackInfo& info) {
    Engine& e = engine(info.Env());
    const uint8_t* pixels = arrayOf<uint8_t>(info.Env(), info[0], "pixels", napi_uint8_array, e.pixelBytes());
    guarded(info.Env(), [&] { e.begin(pixels); });
    begun_ = true;
  }

  void run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Engine& e = engine(env);
    const int stage = stageOf(env, info[0]);
    const int step = integerOf(env, info[1], "step", 0, kMaxSteps);
    const int steps = integerOf(env, info[2], "steps", 1, 64);
    if (!begun_) fail(env, "begin must be called first");
    const char* refusal = guarded(env, [&] { return e.run(stage, step, steps); });
    if (refusal) fail(env, refusal);
  }

  void reset(const Napi::CallbackInfo& info) {
    engine(info.Env());
    if (!stream_) fail(info.Env(), "the plan is of no stream");
    stream_->reset();
  }

  Napi::Value changed(const Napi::CallbackInfo& info) {
    const int stage = stageOf(info.Env(), info[0]);
    if (!stream_ || !engine_->sends(stage)) fail(info.Env(), "the stage is not of a stream, or sends no spikes");
    return Napi::Number::New(info.Env(), stream_->changed(stage));
  }

  void outputPotential(const Napi::CallbackInfo& info) {
    const int stage = stageOf(info.Env(), info[0]);
    Engine& e = *engine_;
    if (!e.isConvolution(stage) || e.fires(stage)) fail(info.Env(), "stage is no output layer");
    double* potential = arrayOf<double>(info.Env(), info[1], "potential", napi_float64_array, e.neurons(stage));
    const double* factors = nullptr;
    if (!info[2].IsUndefined())
      factors = arrayOf<double>(info.Env(), info[2], "factors", napi_float64_array, e.channelsOf(stage));
    if (!begun_) fail(info.Env(), "begin must be called first");
    guarded(info.Env(), [&] { e.outputPotential(stage, potential, factors); });
  }

  // multiply(left, firstLeft, right, firstRight, out, firstOut, rows, inner, columns)
  void multiply(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Engine& e = engine(env);
    const char* const names[] = {"left", "right", "out"};
    int extents[3], places[3];
    for (int i = 0; i < 3; i++) extents[i] = integerOf(env, info[6 + i], "an extent", 1, int(kMaxElements));
    for (int i = 0; i < 3; i++) places[i] = integerOf(env, info[2 * i + 1], "a place", 0, int(kMaxElements));
    const auto [rows, inner, columns] = extents;
    const int64_t sizes[] = {int64_t(rows) * inner, int64_t(inner) * columns, int64_t(rows) * columns};
    double* matrices[3];
    for (int i = 0; i < 3; i++) {
      const Array array = arrayOf(env, info[2 * i], names[i]);
      if (array.type != napi_float64_array || int64_t(array.length) < places[i] + sizes[i]) {
        fail(env, std::string(names[i]) + " has the wrong type or fewer values than that");
      }
      matrices[i] = static_cast<double*>(array.data) + places[i];
    }
    guarded(env, [&] { e.multiply(matrices[0], matrices[1], matrices[2], rows, inner, columns); });
  }

  void counts(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const int stage = stageOf(env, info[0]);
    if (!engine_->sends(stage)) fail(env, "stage sends no spikes");
    engine_->counts(stage, arrayOf<int32_t>(env, info[1], "counts", napi_int32_array, engine_->neurons(stage)));
  }

  void emit(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const int stage = stageOf(env, info[0]);
    if (!engine_->isIsland(stage)) fail(env, "stage is not an island");
    const size_t neurons = engine_->neurons(stage);
    const int32_t* counts = arrayOf<int32_t>(env, info[1], "counts", napi_int32_array, neurons);
    for (size_t i = 0; i < neurons; i++) {
      if (counts[i] < -127 || counts[i] > 127) fail(env, "a count is beyond 127");
    }
    const char* refusal = engine_->emit(stage, counts);
    if (refusal) fail(env, refusal);
  }

  Napi::Value state(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const int stage = stageOf(env, info[0]);
    if (!engine_->fires(stage)) fail(env, "stage has no firing neurons");
    Napi::Int32Array counts = Napi::Int32Array::New(env, engine_->neurons(stage));
    Napi::Int32Array potential = Napi::Int32Array::New(env, engine_->neurons(stage));
    engine_->state(stage, counts.Data(), potential.Data());
    Napi::Object result = Napi::Object::New(env);
    result.Set("counts", counts);
    result.Set("potential", potential);
    return result;
  }

  Napi::Value statistics(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const int stage = stageOf(env, info[0]);
    if (!engine_->isConvolution(stage) && !stream_) fail(env, "stage is not a convolution");
    Napi::Object result = Napi::Object::New(env);
    result.Set("spikes", engine_->spikes(stage));
    result.Set("synapticOperations", engine_->synapticOperations(stage));
    result.Set("clipped", engine_->clipped(stage));
    return result;
  }

  Napi::Value load(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const int stage = stageOf(env, info[0]);
    if (!engine_->isConvolution(stage)) fail(env, "stage is not a convolution");
    const Engine::Load& load = engine_->load(stage);
    Napi::Object result = Napi::Object::New(env);
    result.Set("everyWord", load.everyWord);
    result.Set("dense", load.dense);
    result.Set("events", load.events);
    result.Set("lists", load.lists);
    result.Set("blocks", load.blocks);
    result.Set("eventBlocks", load.eventBlocks);
    return result;
  }

  void close(const Napi::CallbackInfo&) {
    engine_.reset();
    stream_ = nullptr;
  }

  std::unique_ptr<Engine> engine_;
  Stream* stream_ = nullptr;  // the same, of a stream
  bool begun_ = false;
};

// The float network's convolutions, weights packed once.
class FloatEngineObject : public Napi::ObjectWrap<FloatEngineObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "FloatEngine", {InstanceMethod("convolve", &FloatEngineObject::convolve)});
  }

  explicit FloatEngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FloatEngineObject>(info) {
    const Napi::Env env = info.Env();
    kernels_ = &kernelsOf(env, info[1]);
    if (!info[0].IsArray()) fail(env, "convolutions must be an array");
    const Napi::Array list = info[0].As<Napi::Array>();
    const uint32_t count = list.Length();
    if (count > 1000) fail(env, "convolutions must be at most 1000");
    // as with stages: fields first, arrays when no more JavaScript runs
    std::vector<Napi::Value> weights, biases;
    for (uint32_t i = 0; i < count; i++) {
      const std::string where = "convolution " + std::to_string(i) + ": ";
      const Napi::Object object = objectOf(env, list.Get(i), "convolution " + std::to_string(i));
      Entry entry{};
      readConvolutionGeometry(env, object, where, entry.convolution);
      const Napi::Value slope = object.Get("slope");
      if (!slope.IsNumber()) fail(env, where + "slope must be a number");
      entry.convolution.slope = slope.As<Napi::Number>().FloatValue();
      const Napi::Value channelwise = object.Get("channelwise");
      if (!channelwise.IsBoolean()) fail(env, where + "channelwise must be true or false");
      entry.convolution.channelwise = channelwise.As<Napi::Boolean>();
      if (entry.convolution.channelwise && entry.convolution.channels != entry.convolution.filters) {
        fail(env, where + "channelwise filters are as many as channels");
      }
      weights.push_back(object.Get("weights"));
      biases.push_back(object.Get("bias"));
      entries_.push_back(std::move(entry));
    }
    for (uint32_t i = 0; i < count; i++) {
      const std::string where = "convolution " + std::to_string(i) + ": ";
      const spiking::FloatConvolution& c = entries_[i].convolution;
      const size_t values = size_t(c.filters) * c.size * c.size * (c.channelwise ? 1 : c.channels);
      const float* w = arrayOf<float>(env, weights[i], where + "weights", napi_float32_array, values);
      const float* b = arrayOf<float>(env, biases[i], where + "bias", napi_float32_array, c.filters);
      guarded(env, [&] { pack(entries_[i], w, b); });
    }
  }

 private:
  struct Entry {
    spiking::FloatConvolution convolution;
    spiking::Memory weights, bias;
  };

  static void pack(Entry& entry, const float* weights, const float* bias) {
    spiking::FloatConvolution& c = entry.convolution;
    c.paddedFilters = (c.filters + 15) / 16 * 16;
    const size_t perFilter = size_t(c.size) * c.size * (c.channelwise ? 1 : c.channels);
    entry.weights = spiking::Memory(perFilter * c.paddedFilters * 4);
    entry.bias = spiking::Memory(size_t(c.paddedFilters) * 4);
    for (int f = 0; f < c.filters; f++) {
      entry.bias.as<float>()[f] = bias[f];
      for (size_t i = 0; i < perFilter; i++) entry.weights.as<float>()[i * c.paddedFilters + f] = weights[f * perFilter + i];
    }
    c.weights = entry.weights.as<float>();
    c.bias = entry.bias.as<float>();
  }

  void convolve(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const int index = integerOf(env, info[0], "index", 0, int(entries_.size()) - 1);
    const spiking::FloatConvolution& c = entries_[index].convolution;
    const float* input = arrayOf<float>(env, info[1], "input", napi_float32_array, size_t(c.height) * c.width * c.channels);
    float* output = arrayOf<float>(env, info[2], "output", napi_float32_array, size_t(c.outHeight) * c.outWidth * c.filters);
    kernels_->convolveFloat(c, input, output);
  }

  const Kernels* kernels_ = nullptr;
  std::vector<Entry> entries_;
};

Napi::Value listInstructionSets(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::vector<spiking::InstructionSet> sets = spiking::instructionSets();
  Napi::Array list = Napi::Array::New(env, sets.size());
  for (uint32_t i = 0; i < sets.size(); i++) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", sets[i].kernels->name);
    entry.Set("supported", *sets[i].missing == 0);
    entry.Set("reason", sets[i].missing);
    list.Set(i, entry);
  }
  return list;
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("instructionSets", Napi::Function::New(env, listInstructionSets, "instructionSets"));
  exports.Set("Engine", EngineObject::define(env));
  exports.Set("FloatEngine", FloatEngineObject::define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(spiking_yolo, initialise)
