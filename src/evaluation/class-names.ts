/** COCO's names of classes that PASCAL VOC, and darknet after it, spell otherwise. */
const VOC_SPELLINGS: Record<string, string> = {
  motorcycle: 'motorbike',
  airplane: 'aeroplane',
  couch: 'sofa',
  tv: 'tvmonitor',
};

/** A class name as it is compared with others: case, spaces and COCO's or VOC's spelling make no difference. */
export function canonicalClassName(name: string): string {
  const plain = name.toLowerCase().replace(/\s+/g, '');
  return Object.hasOwn(VOC_SPELLINGS, plain) ? VOC_SPELLINGS[plain]! : plain;
}
