import { conformance } from '../conformance/suite.ts';
import { DockerRegistry } from './support/docker-registry.ts';
import { showLogsOfFailedTests } from './support/log.ts';

showLogsOfFailedTests();

const lacks = [
  'referrers',
  'subject',
  'tagParameters',
  'digestAlgorithm',
  'sha512',
  'mountWithoutFrom',
  'orderedChunks',
  'checkedContentRange',
  'brokenChunk',
  'rangeBehindEnd',
  'uploadUnknown',
  'deleteTag',
  'neverPushedTags',
  'sortedTags',
  'pagedTags',
  'checkedPageSize',
  'manifestErrors',
  'foreignLayers',
  'tooLarge',
  'nameGrammar',
  'nameErrors',
  'methodErrors',
  'tagErrors',
  'digestErrors',
] as const;

// That a registry of long standing passes is how the suite itself is known to be right.
conformance('docker-registry 2.8', () => DockerRegistry.start(), lacks);
