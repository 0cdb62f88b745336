import type { FrameResult } from '../detection/stream.js';
import type { DetectorResult } from '../detector.js';
import type { Cameras } from './cameras.js';
import type { Places } from './places.js';

type PromClient = typeof import('prom-client');

/** What `/metrics` tells, in Prometheus' text format. */
export class Metrics {
  private readonly registry: InstanceType<PromClient['Registry']>;
  private readonly requests: InstanceType<PromClient['Counter']>;
  private readonly stages: InstanceType<PromClient['Histogram']>;
  private readonly spikes: InstanceType<PromClient['Histogram']>;

  constructor(
    { Registry, Counter, Histogram, Gauge, collectDefaultMetrics }: PromClient,
    places: readonly Places[],
    cameras: Cameras,
  ) {
    const registry = new Registry();
    const registers = [registry];
    collectDefaultMetrics({ register: registry });
    this.registry = registry;
    this.requests = new Counter({
      name: 'spiking_yolo_requests_total',
      help: 'Requests by route and HTTP status',
      labelNames: ['route', 'status'],
      registers,
    });
    this.stages = new Histogram({
      name: 'spiking_yolo_stage_seconds',
      help: 'Time of a picture in each stage',
      labelNames: ['stage'],
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
      registers,
    });
    this.spikes = new Histogram({
      name: 'spiking_yolo_spikes_per_neuron',
      help: 'Spikes per neuron of a picture',
      buckets: [0.5, 1, 2, 4, 8, 16, 32],
      registers,
    });
    new Gauge({
      name: 'spiking_yolo_running',
      help: 'Pictures that are being looked at',
      registers,
      collect() {
        this.set(places.reduce((sum, { running }) => sum + running, 0));
      },
    });
    new Gauge({
      name: 'spiking_yolo_waiting',
      help: 'Pictures that wait for a worker',
      registers,
      collect() {
        this.set(places.reduce((sum, { waiting }) => sum + waiting, 0));
      },
    });
    new Gauge({
      name: 'spiking_yolo_streams',
      help: 'Cameras whose stream is kept',
      registers,
      collect() {
        this.set(cameras.streams);
      },
    });
  }

  answered(route: string, status: number): void {
    this.requests.inc({ route, status });
  }

  detected({ elapsedMs, spikesPerNeuron }: DetectorResult | FrameResult): void {
    for (const [stage, ms] of Object.entries(elapsedMs)) this.stages.observe({ stage }, ms / 1000);
    if (spikesPerNeuron !== undefined) this.spikes.observe(spikesPerNeuron);
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }
}
