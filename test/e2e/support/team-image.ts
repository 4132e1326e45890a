import { Scratch } from './scratch.ts';
import { type Image, oci, text, Workshop } from './workshop.ts';

/** A small image of the team's own, that nobody has yet. */
export interface TeamImage extends AsyncDisposable {
  readonly image: Image;
  /** Where it lies in the form of skopeo's `dir:`. */
  readonly folder: string;
}

/** Two with different marks have no layer in common. */
export async function makeTeamImage(mark: string, layers = 2): Promise<TeamImage> {
  const scratch = await Scratch.create('team');
  const workshop = new Workshop(scratch);
  const made = [];
  for (let index = 0; index < layers; index += 1) {
    const name = `${mark}-${index}`;
    made.push(await workshop.layer(name, (root) => text(root, `srv/${name}`, `${name}\n`.repeat(100))));
  }
  const image = await workshop.image(mark, 'amd64', oci, made);
  const folder = await workshop.collect([image]);
  return { image, folder, [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose]() };
}

/** An index of two platforms. */
export async function makeTeamIndex(mark: string): Promise<TeamImage & { readonly other: Image }> {
  const scratch = await Scratch.create('team');
  const workshop = new Workshop(scratch);
  const shared = await workshop.layer('shared', (root) => text(root, 'etc/shared', `${mark}\n`));
  const of = async (architecture: string): Promise<Image> => {
    const own = await workshop.layer(architecture, (root) => text(root, 'etc/mark', `${mark} ${architecture}\n`));
    return workshop.image(mark, architecture, oci, [shared, own]);
  };
  const [image, other] = [await of('amd64'), await of('arm64')];
  const folder = await workshop.collect([image, other]);
  return { image, other, folder, [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose]() };
}
